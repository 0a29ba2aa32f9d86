use std::collections::HashMap;

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
#[derive(Clone)]
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
    /// Remembers the probes and says of each whether it may be used.
    pub(crate) async fn judge_probes(&self, probes: Vec<Probe>) -> Result<Vec<Seen>, Error> {
        let Some(latest) = probes.iter().map(|probe| probe.at).max() else {
            return Ok(vec![]);
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::evidence::{ActiveModel, Column, Entity};
                    let macs: Vec<Vec<u8>> = probes.iter().map(|p| p.mac.clone()).collect();
                    Entity::delete_many()
                        .filter(Column::Mac.is_in(macs.clone()))
                        .filter(Column::FirstSeen.lt(to_micros(latest - REMEMBERED)))
                        .exec(txn)
                        .await?;
                    let ids: Vec<Uuid> = probes.iter().map(|_| Uuid::new_v4()).collect();
                    // One order everywhere, or two replicas lock each other out.
                    let mut in_order: Vec<_> = probes.iter().zip(&ids).collect();
                    in_order.sort_by(|(one, _), (other, _)| one.mac.cmp(&other.mac));
                    let rows = in_order.into_iter().map(|(probe, id)| ActiveModel {
                        mac: Set(probe.mac.clone()),
                        id: Set(*id),
                        client_id: Set(probe.client_id.clone()),
                        first_seen: Set(to_micros(probe.at)),
                    });
                    Entity::insert_many(rows)
                        .on_conflict(OnConflict::column(Column::Mac).do_nothing().to_owned())
                        .exec_without_returning(txn)
                        .await?;
                    let known: HashMap<Vec<u8>, entity::evidence::Model> = Entity::find()
                        .filter(Column::Mac.is_in(macs))
                        .all(txn)
                        .await?
                        .into_iter()
                        .map(|row| (row.mac.clone(), row))
                        .collect();
                    probes
                        .iter()
                        .zip(ids)
                        .map(|(probe, id)| {
                            let row = known.get(&probe.mac).ok_or(Error::Corrupt("evidence"))?;
                            Ok(judge(probe, id, row))
                        })
                        .collect()
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

fn judge(probe: &Probe, id: Uuid, row: &entity::evidence::Model) -> Seen {
    let age = probe.at.duration_since(from_micros(row.first_seen)).abs();
    let retry = row.client_id == probe.client_id && age <= RETRY;
    if row.id == id || retry {
        Seen::Usable(row.id)
    } else {
        Seen::Replayed
    }
}
