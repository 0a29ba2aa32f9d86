//! Vehicles whose plates are nearly one that was read, and what the audit log
//! says of them.

use std::collections::HashMap;

use audit_log::Entry;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::to_micros;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::ExprTrait};
use uuid::Uuid;

use super::{
    Sealer, Sought, Store,
    entity::holding::{Column, Entity},
    log,
    resident::{Resident, present},
};
use crate::{
    domain::{
        entry::{Link, suggesting},
        plate::{Difference, Plate},
    },
    error::Error,
};

impl Store {
    /// Who holds vehicles with any of these plates now, each with the plate's
    /// place among them, the longest holder first.
    pub(crate) async fn holders_of_any(
        &self,
        plates: &[Plate],
        now: Timestamp,
    ) -> Result<Vec<(usize, Uuid)>, Error> {
        let now = to_micros(now);
        let sought: Vec<Sought> = plates.iter().map(Sought::plate).collect();
        let mut held = Vec::new();
        for id in self.keyring.epochs() {
            let hashes: HashMap<Vec<u8>, usize> = match self.keyring.epoch(id) {
                Ok(epoch) => (0..)
                    .zip(&sought)
                    .map(|(at, sought)| (sought.hash(&epoch), at))
                    .collect(),
                // One that ends meanwhile has no rows any more.
                Err(_) => continue,
            };
            let rows = Entity::find()
                .filter(Column::Lookup.is_in(hashes.keys().cloned()))
                .filter(Column::HeldFrom.lte(now))
                .filter(Column::HeldTo.is_null().or(Column::HeldTo.gt(now)))
                .all(&self.db.read)
                .await?;
            held.extend(rows.into_iter().filter_map(|row| {
                let at = *hashes.get(&row.lookup)?;
                Some((row.held_from, at, row.resident_id))
            }));
        }
        held.sort_unstable();
        Ok(held
            .into_iter()
            .map(|(_, at, resident)| (at, resident))
            .collect())
    }

    /// Queues what was found, with the plate that is registered beside it;
    /// nothing of a resident who is gone by now.
    pub(crate) async fn tell_near_miss(
        &self,
        resident: &Resident,
        plate: &Plate,
        difference: Difference,
        telling: Entry,
    ) -> Result<(), Error> {
        let Some(key) = self.resident_key(resident.id).await? else {
            return Ok(());
        };
        let telling = suggesting(telling, resident.audit_pseudonym, difference);
        let link = Link::plate(plate);
        let telling = self.new_entry(telling, Some((&link, Sealer::Resident(&key))))?;
        let resident = resident.id;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if !present(txn, vec![resident]).await?.is_empty() {
                        log::insert(txn, vec![telling]).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use mesh::custody::Custodian;

    use super::*;
    use crate::{
        domain::erasure::{Order, Reason},
        store::{
            NewHolding,
            testing::{act, now, place, plate},
        },
    };

    #[tokio::test]
    async fn vehicles_are_found_under_whichever_epoch_the_longest_holder_first() {
        let place = place().await;
        let (first, second) = (place.resident().await.id, place.resident().await.id);
        let other = Plate::parse("B456EK777", "RU").expect("a plate");
        let strange = Plate::parse("X999XX99", "RU").expect("a plate");
        place.hold(first, NewHolding::Vehicle(plate())).await;
        place.hold(second, NewHolding::Vehicle(plate())).await;
        let ended = place.hold(second, NewHolding::Vehicle(other.clone())).await;
        let plates = [strange, other, plate()];
        let later = now() + SignedDuration::from_secs(1);
        let store = &place.store;
        let found = async || store.holders_of_any(&plates, later).await.expect("asked");
        let all = [(2, first), (2, second), (1, second)];
        assert_eq!(found().await, all);
        place.keyring.add_epoch(now()).await.expect("an epoch");
        place.records.rewrap(1).await.expect("moved");
        assert_eq!(found().await, all);
        store.end_holding(ended, now(), act()).await.expect("ended");
        assert_eq!(found().await, all[..2]);
    }

    #[tokio::test]
    async fn nothing_is_told_of_who_is_being_erased() {
        let place = place().await;
        let resident = place.resident().await;
        let queued = async || place.store.queued_entries(100).await.expect("entries");
        let registered = plate();
        let tell = async || {
            let (store, difference) = (&place.store, Difference::Confused);
            let told = store.tell_near_miss(&resident, &registered, difference, act());
            told.await.expect("told");
        };
        let before = queued().await.entries.len();
        tell().await;
        assert_eq!(queued().await.entries.len(), before + 1);
        let order = Order {
            reason: Reason::Requested,
            requested_by: String::new(),
        };
        let begun = place.store.begin_erasure(resident.id, order, now()).await;
        assert!(begun.expect("begun").is_some());
        let before = queued().await.entries.len();
        tell().await;
        assert_eq!(queued().await.entries.len(), before);
    }
}
