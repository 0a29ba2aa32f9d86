//! What issuing a token needs to know, held in memory: clients and signing
//! keys, with what verifiers need to know besides; beside them the revocations. At most two seconds old, so that no token
//! costs a read of the database and a change on another replica is in force in
//! time.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use mesh::shutdown::Shutdown;
use tokio::sync::Mutex;

use super::App;
use crate::{
    domain::{
        client::Client,
        signing_key::{self, Times},
        webhook_secret::SigningSecret,
    },
    error::Error,
    store::StoredKey,
};

/// Nothing is decided on older knowledge.
const MOST_STALE: Duration = Duration::from_secs(2);
/// How often the database is asked whether anything has changed.
const REFRESH: Duration = Duration::from_millis(500);

pub(crate) struct Snapshot {
    pub(crate) version: i64,
    clients: HashMap<String, Arc<Client>>,
    signing_secrets: HashMap<String, Vec<SigningSecret>>,
    keys: Vec<Arc<StoredKey>>,
    times: Vec<Times>,
}

impl Snapshot {
    pub(crate) fn client(&self, id: &str) -> Option<Arc<Client>> {
        self.clients.get(id).cloned()
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.clients.values()
    }

    /// With which a client signs its webhooks; none where it need not.
    pub(crate) fn signing_secrets(&self, client_id: &str) -> &[SigningSecret] {
        self.signing_secrets
            .get(client_id)
            .map_or(&[][..], Vec::as_slice)
    }

    /// Every key that a token in force may be signed with, or will be.
    pub(crate) fn published(&self, now: Timestamp) -> impl Iterator<Item = &Arc<StoredKey>> {
        self.keys.iter().filter(move |key| {
            signing_key::published_until(&self.times, key.generation).is_none_or(|end| now < end)
        })
    }

    pub(crate) fn signing(&self, now: Timestamp) -> Option<&Arc<StoredKey>> {
        let generation = signing_key::signing(&self.times, now)?;
        self.keys.iter().find(|key| key.generation == generation)
    }

    pub(crate) fn times(&self) -> &[Times] {
        &self.times
    }

    pub(crate) fn key(&self, generation: i64) -> Option<&Arc<StoredKey>> {
        self.keys.iter().find(|key| key.generation == generation)
    }

    pub(crate) fn published_until(&self, generation: i64) -> Option<Timestamp> {
        signing_key::published_until(&self.times, generation)
    }
}

#[derive(Default)]
pub(crate) struct Snapshots {
    held: ArcSwapOption<Held>,
    reading: Mutex<()>,
}

struct Held {
    snapshot: Arc<Snapshot>,
    /// When the database was asked: the knowledge is at least as old as that.
    asked: Instant,
}

impl App {
    /// What is known, at most two seconds old.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        if let Some(held) = self.parts.snapshots.held.load_full()
            && held.asked.elapsed() < MOST_STALE
        {
            return Ok(held.snapshot.clone());
        }
        self.fresh_snapshot().await
    }

    /// What is known now: asks the database, once for all who wait.
    pub(crate) async fn fresh_snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        let wanted = Instant::now();
        let snapshots = &self.parts.snapshots;
        let _one = snapshots.reading.lock().await;
        let held = snapshots.held.load_full();
        if let Some(held) = &held
            && held.asked >= wanted
        {
            return Ok(held.snapshot.clone());
        }
        let asked = Instant::now();
        // First: what is newer than these is read again, nothing is missed.
        let versions = self.parts.store.versions().await?;
        let snapshot = match held {
            Some(held) if held.snapshot.version == versions.state => held.snapshot.clone(),
            _ => Arc::new(self.read_snapshot(versions.state).await?),
        };
        self.learn_revocations(versions.revocations).await?;
        snapshots.held.store(Some(Arc::new(Held {
            snapshot: snapshot.clone(),
            asked,
        })));
        Ok(snapshot)
    }

    async fn read_snapshot(&self, version: i64) -> Result<Snapshot, Error> {
        let store = &self.parts.store;
        let clients = store.list_clients(None, u64::MAX).await?;
        let signing_secrets = store.signing_secrets().await?;
        let keys: Vec<Arc<StoredKey>> = store
            .signing_keys()
            .await?
            .into_iter()
            .map(Arc::new)
            .collect();
        Ok(Snapshot {
            version,
            clients: clients
                .into_iter()
                .map(|client| (client.id.clone(), Arc::new(client)))
                .collect(),
            signing_secrets,
            times: keys
                .iter()
                .map(|key| Times {
                    generation: key.generation,
                    signs_from: key.signs_from,
                })
                .collect(),
            keys,
        })
    }

    /// Keeps the knowledge fresh until shutdown.
    pub(crate) async fn keep_fresh(&self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(REFRESH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            // Whoever needs it meanwhile asks again and tells.
            let _ = self.fresh_snapshot().await;
        }
    }
}
