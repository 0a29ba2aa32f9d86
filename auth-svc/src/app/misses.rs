//! Faces nobody knows, counted per client and, where the device is known, per
//! device: one person before one camera must not close every door.

use mesh::limit::{Attempt, Limited};
use opentelemetry::{KeyValue, global};
use uuid::Uuid;

use super::App;
use crate::{clients::Context, error::Error};

/// Whose misses are counted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Missing {
    Client(String),
    Device(Uuid, String),
}

/// A search under way: it takes the place of a miss until it has found
/// somebody, so that searches at the same time are no way around the limit.
pub(crate) struct Search {
    counted: Vec<Attempt>,
    client_id: String,
}

impl App {
    /// Before the search: what is refused here costs nothing and tells nothing.
    pub(crate) fn may_search(&self, context: &Context<'_>) -> Result<Search, Error> {
        let client = context.client;
        let limits = client.settings.limits.in_force();
        let device = context.device.map(|device| {
            let missing = Missing::Device(client.partner, device.to_owned());
            (missing, limits.device_misses())
        });
        let whole = (Missing::Client(client.id.clone()), limits.misses());
        let counted: Result<Vec<Attempt>, Limited> = device
            .into_iter()
            .chain([whole])
            .map(|(missing, quota)| self.parts.misses.attempt(missing, quota))
            .collect();
        match counted {
            Ok(counted) => Ok(Search {
                counted,
                client_id: client.id.clone(),
            }),
            Err(limited) => {
                self.parts.summaries.rate_limited(&client.id);
                Err(limited.into())
            }
        }
    }
}

impl Search {
    pub(crate) fn missed(self) {
        // Client ids are registered, so that their number is bounded.
        global::meter("auth")
            .u64_counter("auth.face.misses")
            .build()
            .add(1, &[KeyValue::new("client_id", self.client_id)]);
        for attempt in self.counted {
            attempt.failed();
        }
    }
}
