//! The use cases.

mod admission;
mod audit;
mod erasure;
mod event;
mod housekeeping;
mod log;
mod opening;
mod probes;
mod registry;
mod revocations;
mod subject;
mod verifier;

use std::{sync::Arc, time::Duration};

pub(crate) use admission::Missing;
pub(crate) use audit::MOST_NAMED;
pub(crate) use log::{Log, ToProve};
use mesh::{
    Clock,
    limit::{Faults, Limits, Tally},
};
use moka::sync::Cache;
pub(crate) use opening::{Evidence, OpenRequest};
pub(crate) use probes::{Probes, probes};
pub(crate) use registry::{NewGrant, NewResident};
pub(crate) use subject::{Context, Described, DescribedFace, FaceQuery};
pub(crate) use verifier::Verifier;

use crate::{
    clients::{Biometric, Edge},
    store::Store,
};

pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) verifier: Verifier,
    pub(crate) biometric: Biometric,
    pub(crate) edge: Edge,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long after its decision a command may still be sent.
    pub(crate) command_expiry: Duration,
    pub(crate) requests: Limits<String>,
    pub(crate) misses: Faults<Missing>,
    /// What limits refused, by client; empty for the rest.
    pub(crate) limited: Tally<String>,
    /// Pseudonyms that are surely in the store.
    pub(crate) remembered: Cache<String, ()>,
    pub(crate) probes: Probes,
    pub(crate) log: Log,
}

#[derive(Clone)]
pub(crate) struct App {
    parts: Arc<Parts>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }
}
