//! The use cases.

mod audit;
mod authentication;
mod clients;
mod introspection;
mod keys;
mod misses;
mod revocations;
mod signing;
mod snapshot;
mod tokens;
mod verification;
mod webhook_secrets;

use std::sync::Arc;

pub(crate) use audit::{Behind, Outbox, Summaries, acted, outbox};
pub(crate) use authentication::{Credentials, Failing, Proof, Proven, proven};
use mesh::{
    Clock,
    crypto::Key,
    limit::{Faults, Limits},
    shutdown::Shutdown,
};
pub(crate) use misses::Missing;
pub(crate) use revocations::Revocations;
pub(crate) use signing::SigningKey;
pub(crate) use snapshot::{Snapshot, Snapshots};
pub(crate) use tokens::{Evidence, Face, Issued, Plate, TokenRequest};
use tokio::task::JoinSet;
pub(crate) use verification::Known;

use crate::{
    clients::{Access, Biometric},
    config::TokenConfig,
    store::Store,
};

pub(crate) struct Parts {
    pub(crate) store: Store,
    /// Keys the hashes of client secrets and of names.
    pub(crate) secret_key: Key,
    pub(crate) tokens: TokenConfig,
    pub(crate) biometric: Biometric,
    pub(crate) access: Access,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) snapshots: Snapshots,
    pub(crate) revocations: Revocations,
    pub(crate) requests: Limits<String>,
    pub(crate) failures: Faults<Failing>,
    pub(crate) proven: Proven,
    pub(crate) misses: Faults<Missing>,
    pub(crate) summaries: Summaries,
    pub(crate) behind: Behind,
    pub(crate) outbox: Outbox,
}

#[derive(Clone)]
pub(crate) struct App {
    parts: Arc<Parts>,
}

impl App {
    /// Starts what goes on beside the calls; all of it ends after shutdown.
    pub(crate) fn run_behind(&self, shutdown: &Shutdown) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (app, end) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { app.keep_fresh(end).await });
        let (app, end) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { app.keep_keys(end).await });
        let (app, end) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { app.write_behind(end).await });
        let (app, end) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { app.drain_outbox(end).await });
        let (app, end) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { app.summarise(end).await });
        tasks
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }
}
