//! What is done in the background: giving up on lost commands, forgetting what
//! its day has passed.

use std::time::Duration;

use jiff::SignedDuration;
use mesh::shutdown::Shutdown;

use super::App;
use crate::error::Error;

const EVERY: Duration = Duration::from_secs(5);
/// A command this long past its expiry has no process that waits for it.
const LOST: SignedDuration = SignedDuration::from_secs(30);

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
        let lost = self.parts.store.give_up_pending(now - LOST, now).await?;
        if lost > 0 {
            tracing::warn!(commands = lost, "outcomes are unknown");
        }
        self.parts.store.forget_old(now).await
    }
}
