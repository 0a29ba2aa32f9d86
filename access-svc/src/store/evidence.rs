use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use mesh::clock::{from_micros, to_micros};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::OnConflict};
use uuid::Uuid;

use super::{Store, entity};
use crate::error::Error;

/// How long a probe is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// A repeat within this from the same client is a network's retry.
const RETRY: SignedDuration = SignedDuration::from_secs(30);

/// A probe, known by its MAC alone.
pub(crate) struct Probe {
    pub(crate) mac: Vec<u8>,
    pub(crate) client_id: String,
    pub(crate) at: Timestamp,
}

/// What this system remembers of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// New, or a retry of one just seen: the evidence's id.
    Usable(Uuid),
    Replayed,
}

impl Store {
    /// Remembers the probe and says whether it may be used.
    pub(crate) async fn judge_probe(&self, probe: Probe) -> Result<Seen, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::evidence::Column;
                    let forgotten = to_micros(probe.at - REMEMBERED);
                    entity::evidence::Entity::delete_many()
                        .filter(Column::Mac.eq(probe.mac.clone()))
                        .filter(Column::FirstSeen.lt(forgotten))
                        .exec(txn)
                        .await?;
                    let id = Uuid::new_v4();
                    entity::evidence::Entity::insert(entity::evidence::ActiveModel {
                        mac: Set(probe.mac.clone()),
                        id: Set(id),
                        client_id: Set(probe.client_id.clone()),
                        first_seen: Set(to_micros(probe.at)),
                    })
                    .on_conflict(OnConflict::column(Column::Mac).do_nothing().to_owned())
                    .exec_without_returning(txn)
                    .await?;
                    let row = entity::evidence::Entity::find_by_id(probe.mac.clone())
                        .one(txn)
                        .await?
                        .ok_or(Error::Corrupt("evidence"))?;
                    let age = probe.at.duration_since(from_micros(row.first_seen)).abs();
                    let retry = row.client_id == probe.client_id && age <= RETRY;
                    Ok(if row.id == id || retry {
                        Seen::Usable(row.id)
                    } else {
                        Seen::Replayed
                    })
                }
                .boxed()
            })
            .await
    }

    /// The opening that used this up, if one did.
    pub(crate) async fn used_by(&self, use_key: &str) -> Result<Option<Uuid>, Error> {
        let row = entity::token_use::Entity::find_by_id(use_key)
            .one(&self.db.read)
            .await?;
        Ok(row.map(|row| row.opening_id))
    }

    /// Forgets probes, uses and idempotency keys past their day.
    pub(crate) async fn forget_old(&self, now: Timestamp) -> Result<(), Error> {
        let before = to_micros(now - REMEMBERED);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::{evidence, idempotency, token_use};
                    evidence::Entity::delete_many()
                        .filter(evidence::Column::FirstSeen.lt(before))
                        .exec(txn)
                        .await?;
                    token_use::Entity::delete_many()
                        .filter(token_use::Column::UsedAt.lt(before))
                        .exec(txn)
                        .await?;
                    idempotency::Entity::delete_many()
                        .filter(idempotency::Column::CreatedAt.lt(before))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}
