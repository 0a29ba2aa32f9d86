//! What the service tells custody.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::FutureExt;
use jiff::Timestamp;

use super::schema::{change, thing, version};
use crate::{
    custody::{
        Act, Custodian, CustodyError, Wrapped,
        backup::{Table, table},
    },
    db::Db,
    keyring::Keyring,
};

const THINGS: Wrapped<thing::Entity> = Wrapped {
    epoch: thing::Column::Epoch,
    key: thing::Column::WrappedKey,
    bound_to: thing::Column::Id,
};

pub(crate) struct Store {
    db: Db,
    keyring: Keyring,
    ended: Mutex<Vec<i64>>,
}

#[tonic::async_trait]
impl Custodian for Store {
    async fn references(&self) -> Result<BTreeMap<i64, u64>, CustodyError> {
        THINGS.references(&self.db.read).await
    }

    async fn rewrap(&self, limit: u64) -> Result<u64, CustodyError> {
        let keyring = self.keyring.clone();
        self.db
            .writer
            .write(move |txn| async move { THINGS.rewrap(txn, &keyring, limit).await }.boxed())
            .await
    }

    async fn verify(&self) -> Result<u64, CustodyError> {
        THINGS.verify(&self.db.read, &self.keyring).await
    }

    fn tables(&self) -> Vec<Box<dyn Table>> {
        vec![
            Box::new(table::<version::Entity>().made_at_start()),
            Box::new(table::<thing::Entity>().with_keys(THINGS)),
            Box::new(table::<change::Entity>()),
        ]
    }

    async fn epoch_ended(&self, ended: i64, _: Timestamp) -> Result<(), CustodyError> {
        self.ended.lock().expect("a lock").push(ended);
        Ok(())
    }

    async fn acted(&self, _: Act) -> Result<(), CustodyError> {
        Ok(())
    }
}

impl Store {
    pub(super) fn shared(db: &Db, keyring: &Keyring) -> Arc<Self> {
        Arc::new(Self {
            db: db.clone(),
            keyring: keyring.clone(),
            ended: Mutex::default(),
        })
    }

    /// The epochs of whose end it was told.
    pub(super) fn ended(&self) -> Vec<i64> {
        self.ended.lock().expect("a lock").clone()
    }
}
