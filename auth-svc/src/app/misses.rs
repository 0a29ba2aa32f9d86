//! Faces nobody knows, counted per client and, where the device is known, per
//! device: one person before one camera must not close every door.

use mesh::limit::Quota;
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

pub(crate) struct Misses {
    counted: Vec<(Missing, Quota)>,
    client_id: String,
}

impl Misses {
    pub(crate) fn of(context: &Context<'_>) -> Self {
        let client = context.client;
        let limits = client.settings.limits.in_force();
        let device = context.device.map(|device| {
            let missing = Missing::Device(client.partner, device.to_owned());
            (missing, limits.device_misses())
        });
        let whole = (Missing::Client(client.id.clone()), limits.misses());
        Self {
            counted: device.into_iter().chain([whole]).collect(),
            client_id: client.id.clone(),
        }
    }
}

impl App {
    /// Before the search: what is refused here costs nothing and tells nothing.
    pub(crate) fn may_try(&self, misses: &Misses) -> Result<(), Error> {
        for (missing, _) in &misses.counted {
            if let Err(limited) = self.parts.misses.blocked(missing) {
                self.parts.summaries.rate_limited(&misses.client_id);
                return Err(limited.into());
            }
        }
        Ok(())
    }

    pub(crate) fn missed(&self, misses: &Misses) {
        // Client ids are registered, so that their number is bounded.
        global::meter("auth")
            .u64_counter("auth.face.misses")
            .build()
            .add(1, &[KeyValue::new("client_id", misses.client_id.clone())]);
        for (missing, quota) in &misses.counted {
            self.parts.misses.fault(missing.clone(), *quota);
        }
    }
}
