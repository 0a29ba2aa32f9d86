//! The use cases.

mod admission;
mod audit;
mod building;
mod consent;
mod device;
mod device_group;
mod enrolment;
mod entrance;
mod erasure;
mod event;
mod feed;
mod galleries;
mod grant;
mod guest;
mod holding;
mod household;
mod housekeeping;
mod import;
mod log;
mod named;
mod near_miss;
mod opening;
mod partner;
mod passage;
mod payment;
mod pending;
mod probes;
mod recording;
mod reference;
mod registry;
mod resident;
mod revocations;
mod site;
mod subject;
mod subscription;
mod verifier;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

pub(crate) use admission::Missing;
pub(crate) use audit::MOST_NAMED;
pub(crate) use device_group::WholeGroup;
pub(crate) use erasure::Receipted;
pub(crate) use feed::Feeds;
pub(crate) use grant::{DeviceName, GrantUpdate, GrantsOf, NewGrant, ShownGrant, TargetName};
pub(crate) use guest::Invitation;
pub(crate) use holding::{AddHolding, HoldingUpdate, ShownHolding};
pub(crate) use household::{HouseholdUpdate, NewHousehold};
pub(crate) use import::{Import, Imported};
pub(crate) use log::{Log, ToProve};
use mesh::{
    Clock,
    custody::Custody,
    limit::{Faults, Limits, Tally},
};
use moka::sync::Cache;
pub(crate) use named::Named;
pub(crate) use near_miss::NearMisses;
pub(crate) use opening::{Evidence, OpenRequest};
pub(crate) use payment::PaymentState;
pub(crate) use pending::Pending;
pub(crate) use probes::{Probes, probes};
pub(crate) use recording::{Recorder, recorder};
pub(crate) use reference::By;
pub(crate) use resident::{NewResident, ResidentUpdate};
pub(crate) use subject::{Context, Described, DescribedFace, FaceQuery};
pub(crate) use subscription::NewSubscription;
pub(crate) use verifier::Verifier;

use crate::{
    clients::{Biometric, Edge},
    store::Store,
};

pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) custody: Custody,
    /// Whether the store was seen to hold anything.
    pub(crate) in_use: AtomicBool,
    /// Whether a backup was put into it: the keys held here are of another.
    pub(crate) restored: Arc<AtomicBool>,
    pub(crate) verifier: Verifier,
    pub(crate) biometric: Biometric,
    pub(crate) edge: Edge,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long after its decision a command may still be sent.
    pub(crate) command_expiry: Duration,
    pub(crate) pending: Pending,
    pub(crate) requests: Limits<String>,
    pub(crate) misses: Faults<Missing>,
    /// What limits refused, by client; empty for the rest.
    pub(crate) limited: Tally<String>,
    /// Pseudonyms that are surely in the store.
    pub(crate) remembered: Cache<String, ()>,
    pub(crate) probes: Probes,
    pub(crate) near_misses: NearMisses,
    pub(crate) recorder: Recorder,
    pub(crate) feeds: Feeds,
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
