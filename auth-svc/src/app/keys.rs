//! Rotating the keys that sign, on schedule and by command.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use mesh::shutdown::Shutdown;

use super::{App, audit::encoded};
use crate::{
    domain::{
        audit::{Event, Kind},
        signing_key::{Schedule, published_until, waiting},
    },
    error::Error,
    store::StoredKey,
};

/// How often the schedule is looked at, or more often where keys are published
/// for less before they sign.
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl App {
    fn schedule(&self) -> Schedule {
        let config = &self.parts.tokens.signing;
        Schedule {
            rotate_after: SignedDuration::from_secs(i64::from(config.rotate_after_s)),
            publish_before: SignedDuration::from_secs(i64::from(config.publish_before_s)),
        }
    }

    /// The first key signs at once: nobody holds an older key set. Replicas
    /// that start together agree on the row that was written first.
    pub(crate) async fn ensure_signing_key(&self) -> Result<(), Error> {
        let (parts, now) = (&self.parts, self.parts.clock.now());
        if parts.store.signing_keys().await?.is_empty() {
            let algorithm = parts.tokens.signing.algorithm;
            let store = &parts.store;
            store.add_signing_key(1, algorithm, now, now, None).await?;
        }
        self.fresh_snapshot().await?;
        Ok(())
    }

    /// The next key, made now unless it waits for its time already.
    pub(crate) async fn rotate_signing_key(
        &self,
        actor: Option<String>,
    ) -> Result<Arc<StoredKey>, Error> {
        let (parts, now) = (&self.parts, self.parts.clock.now());
        let snapshot = self.fresh_snapshot().await?;
        let generation = match waiting(snapshot.times(), now) {
            Some(generation) => generation,
            None => {
                let last = snapshot.times().iter().map(|key| key.generation).max();
                let generation = last.unwrap_or(0) + 1;
                let signs_from = now + self.schedule().publish_before;
                let algorithm = parts.tokens.signing.algorithm;
                let event = encoded(&Event {
                    code: "rotated",
                    actor,
                    ..Event::new(Kind::SigningKeyChanged, now)
                });
                let added = parts
                    .store
                    .add_signing_key(generation, algorithm, signs_from, now, Some(event))
                    .await?;
                if added {
                    tracing::info!(generation, "a signing key was made");
                }
                generation
            }
        };
        let snapshot = self.fresh_snapshot().await?;
        snapshot.key(generation).cloned().ok_or(Error::Signing)
    }

    /// Makes keys in time and drops those of which no token lives.
    pub(crate) async fn keep_keys(&self, shutdown: Shutdown) {
        let published = u64::from(self.parts.tokens.signing.publish_before_s.max(1));
        let mut tick = tokio::time::interval(LOOK_EVERY.min(Duration::from_secs(published)));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.look_after_keys().await {
                tracing::warn!(%error, "signing keys were not looked after; it is tried again");
            }
        }
    }

    async fn look_after_keys(&self) -> Result<(), Error> {
        let now = self.parts.clock.now();
        let snapshot = self.fresh_snapshot().await?;
        if self.schedule().is_due(snapshot.times(), now) {
            self.rotate_signing_key(None).await?;
        }
        let over: Vec<i64> = snapshot
            .times()
            .iter()
            .map(|key| key.generation)
            .filter(|generation| {
                published_until(snapshot.times(), *generation).is_some_and(|end| end <= now)
            })
            .collect();
        if !over.is_empty() {
            self.parts.store.drop_signing_keys(over).await?;
        }
        self.parts.revocations.forget_expired(now);
        self.parts.store.forget_expired(now).await
    }
}
