//! Who gets in: a good token, and a client that neither hurries nor guesses.

use std::sync::atomic::Ordering;

use mesh::limit::{Attempt, Limited};
use opentelemetry::{KeyValue, global};
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        device::Device,
        token::{Bearer, Presented},
    },
    error::Error,
};

/// Whose misses are counted: one person before one camera must not close
/// every door.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Missing {
    Client(String),
    Device(Uuid),
}

/// A search under way: it takes the place of a miss until it has found
/// somebody, so that searches at the same time are no way around the limit.
pub(super) struct Search {
    counted: [Attempt; 2],
    client_id: String,
}

impl App {
    /// An empty store may be about to be filled from a backup, which fills an
    /// empty one alone: what is told until then stays with whoever tells it.
    pub(super) async fn check_in_use(&self) -> Result<(), Error> {
        let in_use = &self.parts.in_use;
        if in_use.load(Ordering::Relaxed) {
            return Ok(());
        }
        let has_partners = self.parts.store.has_partners().await?;
        if !has_partners || self.parts.restored.load(Ordering::Acquire) {
            return Err(Error::EmptyStore);
        }
        in_use.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The bearer of a good token that keeps to its client's rate.
    pub(super) async fn admit(&self, presented: &Presented) -> Result<Bearer, Error> {
        let bearer = self.parts.verifier.verify(presented).await?;
        let id = &bearer.client_id;
        let taken = self
            .parts
            .requests
            .take(id.clone(), bearer.limits.requests());
        self.count_limited(id, taken)?;
        Ok(bearer)
    }

    /// Before a face is searched: what is refused here costs and tells nothing.
    pub(super) fn may_search(&self, bearer: &Bearer, device: &Device) -> Result<Search, Limited> {
        let (misses, limits) = (&self.parts.misses, &bearer.limits);
        let (device, id) = (Missing::Device(device.uid), &bearer.client_id);
        let client = Missing::Client(id.clone());
        let device = misses.attempt(device, limits.device_misses());
        let device = self.count_limited(id, device)?;
        let client = misses.attempt(client, limits.misses());
        let client = self.count_limited(id, client)?;
        Ok(Search {
            counted: [device, client],
            client_id: id.clone(),
        })
    }
}

impl Search {
    pub(super) fn missed(self) {
        // Client ids are registered, so that their number is bounded.
        global::meter("access")
            .u64_counter("access.face.misses")
            .build()
            .add(1, &[KeyValue::new("client_id", self.client_id)]);
        for attempt in self.counted {
            attempt.failed();
        }
    }
}
