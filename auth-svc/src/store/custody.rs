//! What custody is told of this store. Hashes of secrets and of assertions are
//! made under a named key, which custody itself moves from epoch to epoch.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    custody::{
        Act, Custodian, CustodyError, Wrapped,
        backup::{Table, table},
    },
    db::Db,
    keyring::Keyring,
};

use super::{
    Encoded,
    entity::{
        client, client_secret, outbox, revocation, signing_key, state_version, used_assertion,
        webhook_secret,
    },
    outbox::insert_events,
};

const SIGNING_KEYS: Wrapped<signing_key::Entity> = Wrapped {
    epoch: signing_key::Column::Epoch,
    key: signing_key::Column::WrappedKey,
    bound_to: signing_key::Column::Kid,
};

const WEBHOOK_SECRETS: Wrapped<webhook_secret::Entity> = Wrapped {
    epoch: webhook_secret::Column::Epoch,
    key: webhook_secret::Column::WrappedKey,
    bound_to: webhook_secret::Column::Id,
};

/// The rows of auth-svc, in the hands of custody.
pub(crate) struct Records {
    db: Db,
    keyring: Keyring,
    event: fn(Act) -> Encoded,
}

impl Records {
    /// With how an act becomes an event of the audit.
    pub(crate) fn new(db: Db, keyring: Keyring, event: fn(Act) -> Encoded) -> Self {
        Self { db, keyring, event }
    }
}

#[tonic::async_trait]
impl Custodian for Records {
    async fn references(&self) -> Result<BTreeMap<i64, u64>, CustodyError> {
        let mut references = SIGNING_KEYS.references(&self.db.read).await?;
        for (epoch, rows) in WEBHOOK_SECRETS.references(&self.db.read).await? {
            *references.entry(epoch).or_default() += rows;
        }
        Ok(references)
    }

    async fn rewrap(&self, limit: u64) -> Result<u64, CustodyError> {
        let keyring = self.keyring.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let moved = SIGNING_KEYS.rewrap(txn, &keyring, limit).await?;
                    Ok(moved + WEBHOOK_SECRETS.rewrap(txn, &keyring, limit).await?)
                }
                .boxed()
            })
            .await
    }

    async fn verify(&self) -> Result<u64, CustodyError> {
        Ok(SIGNING_KEYS.verify(&self.db.read, &self.keyring).await?
            + WEBHOOK_SECRETS.verify(&self.db.read, &self.keyring).await?)
    }

    fn tables(&self) -> Vec<Box<dyn Table>> {
        vec![
            Box::new(table::<state_version::Entity>().made_at_start()),
            Box::new(
                table::<signing_key::Entity>()
                    .with_keys(SIGNING_KEYS)
                    .made_at_start(),
            ),
            Box::new(table::<client::Entity>()),
            Box::new(table::<client_secret::Entity>()),
            Box::new(table::<webhook_secret::Entity>().with_keys(WEBHOOK_SECRETS)),
            Box::new(table::<revocation::Entity>()),
            Box::new(table::<used_assertion::Entity>()),
            // While there are no clients it holds what strangers tried.
            Box::new(table::<outbox::Entity>().made_at_start()),
        ]
    }

    /// Nobody is erased here.
    async fn epoch_ended(&self, _: i64, _: Timestamp) -> Result<(), CustodyError> {
        Ok(())
    }

    async fn acted(&self, act: Act) -> Result<(), CustodyError> {
        let event = (self.event)(act);
        self.db
            .writer
            .write(move |txn| insert_events(txn, vec![event]).boxed())
            .await
            .map_err(CustodyError::store)
    }
}
