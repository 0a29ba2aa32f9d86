//! What is done in the background: giving up on lost commands, forgetting what
//! its day has passed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use mesh::shutdown::Shutdown;
use uuid::Uuid;

use super::App;
use crate::error::Error;

const EVERY: Duration = Duration::from_secs(5);
/// A command this long past its expiry has no process that waits for it.
const LOST: Duration = Duration::from_secs(25);

/// Commands without an outcome, and since when they are known here: the wall
/// clock may step, and then one that is under way is not lost.
#[derive(Default)]
struct Pending(HashMap<Uuid, Instant>);

impl Pending {
    /// Those of the commands there now that were there so long ago already.
    fn for_longer_than(&mut self, least: Duration, there: Vec<Uuid>, now: Instant) -> Vec<Uuid> {
        self.0 = there
            .into_iter()
            .map(|id| (id, self.0.get(&id).copied().unwrap_or(now)))
            .collect();
        self.0
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= least)
            .map(|(id, _)| *id)
            .collect()
    }
}

impl App {
    pub(crate) async fn keep_house(self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pending = Pending::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.tidy(&mut pending).await {
                tracing::warn!(%error, "housekeeping failed; it is tried again");
            }
        }
    }

    pub(crate) async fn keep_verifier_fresh(self, shutdown: Shutdown) {
        self.parts.verifier.keep_fresh(shutdown).await;
    }

    async fn tidy(&self, pending: &mut Pending) -> Result<(), Error> {
        let store = &self.parts.store;
        let now = self.parts.clock.now();
        self.parts.verifier.forget_expired(now);
        let there = store.pending_commands().await?;
        let least = self.parts.command_expiry + LOST;
        let lost = pending.for_longer_than(least, there, Instant::now());
        let given_up = store.give_up(lost, now).await?;
        if given_up > 0 {
            tracing::warn!(commands = given_up, "outcomes are unknown");
        }
        store.forget_old(now).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_lost_once_it_was_there_for_long() {
        let mut pending = Pending::default();
        let start = Instant::now();
        let mut at = |seconds: u64, there: &[u128]| {
            let there = there.iter().copied().map(Uuid::from_u128).collect();
            let now = start + Duration::from_secs(seconds);
            let lost = pending.for_longer_than(Duration::from_secs(30), there, now);
            lost.iter().map(Uuid::as_u128).collect::<Vec<_>>()
        };
        assert!(at(0, &[1]).is_empty());
        assert!(at(29, &[1, 2]).is_empty());
        assert_eq!(at(30, &[1, 2]), [1]);
        // What has its outcome is forgotten.
        assert!(at(35, &[2]).is_empty());
        assert_eq!(at(59, &[1, 2]), [2]);
    }
}
