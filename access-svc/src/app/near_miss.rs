//! Whose vehicle a plate that names nobody may have been: looked for after the
//! answer, told to the audit log alone, and nothing ever opens by it.

use std::{sync::Arc, time::Duration};

use audit_log::Entry;
use opentelemetry::{global, metrics::Counter};
use tokio::sync::Semaphore;
use tracing::Instrument;
use uuid::Uuid;

use super::App;
use crate::{domain::plate::Plate, error::Error};

/// Looked for at once.
const AT_ONCE: usize = 4;
/// How long each takes at least: what a flood of unknown plates may cost.
const AT_LEAST: Duration = Duration::from_millis(100);

pub(crate) struct NearMisses {
    places: Arc<Semaphore>,
    dropped: Counter<u64>,
}

impl Default for NearMisses {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            dropped: global::meter("access")
                .u64_counter("audit.suggestions.dropped")
                .build(),
        }
    }
}

impl App {
    /// Waits for nothing; with too many under way it is not looked for at all.
    pub(super) fn look_for_near_miss(&self, read: Plate, sites: Vec<Uuid>, telling: Entry) {
        let near_misses = &self.parts.near_misses;
        let Ok(place) = near_misses.places.clone().try_acquire_owned() else {
            near_misses.dropped.add(1, &[]);
            return;
        };
        let app = self.clone();
        let looking = async move {
            let looked = app.tell_near_miss(&read, &sites, telling).await;
            if let Err(error) = looked {
                tracing::info!(%error, "a near miss was not told");
            }
            tokio::time::sleep(AT_LEAST).await;
            drop(place);
        };
        tokio::spawn(looking.in_current_span());
    }

    /// Only where it can have been no other vehicle of these sites.
    async fn tell_near_miss(
        &self,
        read: &Plate,
        sites: &[Uuid],
        telling: Entry,
    ) -> Result<(), Error> {
        let store = &self.parts.store;
        let (plates, differences): (Vec<_>, Vec<_>) = read.near().into_iter().unzip();
        let holders = store
            .holders_of_any(&plates, self.parts.clock.now())
            .await?;
        if holders.is_empty() {
            return Ok(());
        }
        let ids = holders.iter().map(|(_, resident)| *resident).collect();
        let here = store.residents_at(ids, sites).await?;
        let mut holders = holders.iter().filter(|(_, id)| here.contains(id));
        let Some(&(vehicle, resident)) = holders.next() else {
            return Ok(());
        };
        if holders.any(|(other, _)| *other != vehicle) {
            return Ok(());
        }
        let Some(resident) = store.resident(resident).await? else {
            return Ok(());
        };
        store
            .tell_near_miss(&resident, &plates[vehicle], differences[vehicle], telling)
            .await
    }
}
