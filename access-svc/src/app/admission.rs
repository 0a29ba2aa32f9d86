//! Who gets in: a good token, and a client that neither hurries nor guesses.

use mesh::limit::Limited;
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

impl App {
    /// The bearer of a good token that keeps to its client's rate.
    pub(super) async fn admit(&self, presented: &Presented) -> Result<Bearer, Error> {
        let bearer = self.parts.verifier.verify(presented).await?;
        self.parts
            .requests
            .take(bearer.client_id.clone(), bearer.limits.requests())?;
        Ok(bearer)
    }

    /// Before a face is searched: what is refused here costs and tells nothing.
    pub(super) fn may_try(&self, bearer: &Bearer, device: &Device) -> Result<(), Limited> {
        let misses = &self.parts.misses;
        misses.blocked(&Missing::Device(device.uid))?;
        misses.blocked(&Missing::Client(bearer.client_id.clone()))
    }

    pub(super) fn missed(&self, bearer: &Bearer, device: &Device) {
        // Client ids are registered, so that their number is bounded.
        global::meter("access")
            .u64_counter("access.face.misses")
            .build()
            .add(1, &[KeyValue::new("client_id", bearer.client_id.clone())]);
        let (misses, limits) = (&self.parts.misses, &bearer.limits);
        misses.fault(Missing::Device(device.uid), limits.device_misses());
        misses.fault(Missing::Client(bearer.client_id.clone()), limits.misses());
    }
}
