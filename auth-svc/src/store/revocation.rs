//! Tokens that are void before they expire, and client assertions used.

use std::collections::HashSet;

use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::to_micros;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::OnConflict};
use uuid::Uuid;

use super::{
    Store, bump,
    entity::{revocation, used_assertion},
};
use crate::error::Error;

impl Store {
    pub(crate) async fn revoke(&self, jti: Uuid, expires_at: Timestamp) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    revocation::Entity::insert(revocation::ActiveModel {
                        jti: Set(jti),
                        expires_at: Set(to_micros(expires_at)),
                    })
                    .on_conflict(
                        OnConflict::column(revocation::Column::Jti)
                            .do_nothing()
                            .to_owned(),
                    )
                    .exec_without_returning(txn)
                    .await?;
                    bump(txn).await
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn revoked(&self, now: Timestamp) -> Result<HashSet<Uuid>, Error> {
        let rows = revocation::Entity::find()
            .filter(revocation::Column::ExpiresAt.gt(to_micros(now)))
            .all(&self.db.read)
            .await?;
        Ok(rows.into_iter().map(|row| row.jti).collect())
    }

    /// False when the assertion was used before, by whichever replica.
    pub(crate) async fn use_assertion(
        &self,
        mac: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<bool, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let inserted = used_assertion::Entity::insert(used_assertion::ActiveModel {
                        mac: Set(mac),
                        expires_at: Set(to_micros(expires_at)),
                    })
                    .on_conflict(
                        OnConflict::column(used_assertion::Column::Mac)
                            .do_nothing()
                            .to_owned(),
                    )
                    .exec_without_returning(txn)
                    .await?;
                    Ok(inserted > 0)
                }
                .boxed()
            })
            .await
    }

    /// Forgets what is refused for its age in any case.
    pub(crate) async fn forget_expired(&self, now: Timestamp) -> Result<(), Error> {
        let now = to_micros(now);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    revocation::Entity::delete_many()
                        .filter(revocation::Column::ExpiresAt.lt(now))
                        .exec(txn)
                        .await?;
                    used_assertion::Entity::delete_many()
                        .filter(used_assertion::Column::ExpiresAt.lt(now))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}
