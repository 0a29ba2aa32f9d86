//! Signing keys at rest, each under a data key of its own.

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    db::is_unique_violation,
    keyring::WrappedKey,
};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{
    Store, bump,
    entity::signing_key,
    outbox::{Encoded, insert_events},
};
use crate::{app::SigningKey, config::SigningAlgorithm, error::Error};

pub(crate) struct StoredKey {
    pub(crate) generation: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) signs_from: Timestamp,
    pub(crate) key: SigningKey,
}

impl Store {
    pub(crate) async fn signing_keys(&self) -> Result<Vec<StoredKey>, Error> {
        let rows = signing_key::Entity::find()
            .order_by_asc(signing_key::Column::Generation)
            .all(&self.db.read)
            .await?;
        rows.into_iter()
            .map(|row| {
                let wrapped = WrappedKey {
                    epoch: row.epoch,
                    sealed: row.wrapped_key,
                };
                let data_key = self.keyring.unwrap(&wrapped, row.kid.as_bytes())?;
                let pkcs8 = data_key.open(&row.sealed, row.kid.as_bytes())?;
                let algorithm = match row.algorithm.as_str() {
                    "ES256" => SigningAlgorithm::Es256,
                    "EdDSA" => SigningAlgorithm::EdDsa,
                    _ => return Err(Error::Corrupt("signing key")),
                };
                Ok(StoredKey {
                    generation: row.generation,
                    created_at: from_micros(row.created_at),
                    signs_from: from_micros(row.signs_from),
                    key: SigningKey::from_pkcs8(algorithm, &pkcs8)?,
                })
            })
            .collect()
    }

    /// Adds a key of that generation with the event that tells of it, unless
    /// another replica did so first; whether it was added.
    pub(crate) async fn add_signing_key(
        &self,
        generation: i64,
        algorithm: SigningAlgorithm,
        signs_from: Timestamp,
        now: Timestamp,
        event: Option<Encoded>,
    ) -> Result<bool, Error> {
        let pkcs8 = SigningKey::generate(algorithm)?;
        let key = SigningKey::from_pkcs8(algorithm, &pkcs8)?;
        let kid = key.kid().to_owned();
        let (data_key, wrapped) = self.keyring.new_data_key(kid.as_bytes())?;
        let row = signing_key::ActiveModel {
            generation: Set(generation),
            sealed: Set(data_key.seal(&pkcs8, kid.as_bytes())?),
            kid: Set(kid),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            created_at: Set(to_micros(now)),
            algorithm: Set(key.algorithm_name().into()),
            signs_from: Set(to_micros(signs_from)),
        };
        let added = self
            .db
            .writer
            .write(move |txn| {
                async move {
                    signing_key::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await?;
                    if let Some(event) = event {
                        insert_events(txn, vec![event]).await?;
                    }
                    bump(txn).await
                }
                .boxed()
            })
            .await;
        match added {
            Ok(()) => Ok(true),
            Err(Error::Database(error)) if is_unique_violation(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Drops the private keys of which no token lives.
    pub(crate) async fn drop_signing_keys(&self, generations: Vec<i64>) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    signing_key::Entity::delete_many()
                        .filter(signing_key::Column::Generation.is_in(generations))
                        .exec(txn)
                        .await?;
                    bump(txn).await
                }
                .boxed()
            })
            .await
    }
}
