//! What is done in the background: giving up on lost commands, forgetting what
//! its day has passed.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use mesh::shutdown::Shutdown;

use super::App;
use crate::error::Error;

const EVERY: Duration = Duration::from_secs(5);
/// A command this long past its expiry has no process that waits for it.
const LOST: Duration = Duration::from_secs(25);

impl App {
    pub(crate) async fn keep_house(self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.tidy().await {
                tracing::warn!(%error, "housekeeping failed; it is tried again");
            }
        }
    }

    pub(crate) async fn keep_verifier_fresh(self, shutdown: Shutdown) {
        self.parts.verifier.keep_fresh(shutdown).await;
    }

    async fn tidy(&self) -> Result<(), Error> {
        let now = self.parts.clock.now();
        self.parts.verifier.forget_expired(now);
        if let Err(error) = self.give_up_lost(now).await {
            // Whoever could not store an outcome meanwhile gets the time to.
            self.parts.pending.begin_anew();
            return Err(error);
        }
        self.parts.store.forget_old(now).await
    }

    async fn give_up_lost(&self, now: Timestamp) -> Result<(), Error> {
        let (store, pending) = (&self.parts.store, &self.parts.pending);
        let there = store.pending_commands().await?;
        let least = self.parts.command_expiry + LOST;
        let lost = pending.for_longer_than(least, there, Instant::now());
        let given_up = store.give_up(lost, now).await?;
        if given_up > 0 {
            tracing::warn!(commands = given_up, "outcomes are unknown");
        }
        Ok(())
    }
}
