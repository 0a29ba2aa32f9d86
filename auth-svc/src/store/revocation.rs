//! Tokens that are void before they expire, and client assertions used.

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    limit::Limited,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, sea_query::OnConflict,
};
use uuid::Uuid;

use super::{
    Store, count_one,
    entity::{revocation, state_version, used_assertion},
    outbox::{Encoded, insert_events},
    read_versions,
};
use crate::{
    domain::limits::{REVOCATIONS_RETRY, revocations},
    error::Error,
};

/// A token that its client ends.
pub(crate) struct RevokedToken {
    pub(crate) jti: Uuid,
    pub(crate) client_id: String,
    pub(crate) expires_at: Timestamp,
}

/// A revocation in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) number: i64,
    pub(crate) jti: Uuid,
    pub(crate) expires_at: Timestamp,
}

impl Store {
    /// Ends a token, once, with the event that tells of it; a client may have
    /// so many that live on.
    pub(crate) async fn revoke(
        &self,
        token: RevokedToken,
        event: Encoded,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let number = next_number(txn).await?;
                    let client_id = token.client_id;
                    let inserted = revocation::Entity::insert(revocation::ActiveModel {
                        jti: Set(token.jti),
                        expires_at: Set(to_micros(token.expires_at)),
                        number: Set(number),
                        client_id: Set(client_id.clone()),
                    })
                    .on_conflict(
                        OnConflict::column(revocation::Column::Jti)
                            .do_nothing()
                            .to_owned(),
                    )
                    .exec_without_returning(txn)
                    .await?;
                    if inserted == 0 {
                        return Ok(());
                    }
                    let live = revocation::Entity::find()
                        .filter(revocation::Column::ClientId.eq(client_id))
                        .filter(revocation::Column::ExpiresAt.gt(to_micros(now)))
                        .count(txn)
                        .await?;
                    let quota = revocations();
                    if live > u64::from(quota.count.get()) {
                        return Err(Error::Limited(Limited {
                            quota,
                            wait: REVOCATIONS_RETRY,
                        }));
                    }
                    insert_events(txn, vec![event]).await
                }
                .boxed()
            })
            .await
    }

    /// Those after that number, in their order, of tokens that live on.
    pub(crate) async fn revocations_after(
        &self,
        number: i64,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, Error> {
        let rows = revocation::Entity::find()
            .filter(revocation::Column::Number.gt(number))
            .filter(revocation::Column::ExpiresAt.gt(to_micros(now)))
            .order_by_asc(revocation::Column::Number)
            .all(&self.db.read)
            .await?;
        let revocations = rows.into_iter().map(|row| Revocation {
            number: row.number,
            jti: row.jti,
            expires_at: from_micros(row.expires_at),
        });
        Ok(revocations.collect())
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

/// Holds the row until the commit: a number becomes visible after all below
/// it, so that whoever reads on from the last one misses none.
async fn next_number(txn: &DatabaseTransaction) -> Result<i64, Error> {
    count_one(txn, state_version::Column::Revocations).await?;
    let versions = read_versions(txn).await?;
    let versions = versions.ok_or(Error::Corrupt("state version"))?;
    Ok(versions.revocations)
}
