//! What goes on by itself: a rotation that was interrupted is finished, a new
//! epoch begins when the current one is old, epochs that an operator has
//! removed are told to the store.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tokio::time::MissedTickBehavior;

use super::{Custody, CustodyError};
use crate::shutdown::Shutdown;

const LOOK_EVERY: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3_600);

/// After a failure.
const REST: Duration = Duration::from_secs(60);

pub(super) async fn keep(custody: Custody, shutdown: Shutdown) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut settled = Vec::new();
    let mut next = Instant::now();
    // An epoch that comes of age is seen to at once, and not again before the
    // hour when that changed nothing.
    let mut was_due = false;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let changed = settled != custody.inner.keyring.epochs();
        let newly_due = custody.is_due() && !was_due;
        if Instant::now() < next && !changed && !newly_due {
            continue;
        }
        match custody.look_after_keys().await {
            Ok(()) => {
                was_due = custody.is_due();
                settled = custody.inner.keyring.epochs();
                next = Instant::now() + HOUR;
            }
            // Another replica is at it, or a backup is being taken.
            Err(CustodyError::Busy) => {}
            Err(error) => {
                tracing::warn!(%error, "keys were not looked after; it is tried again");
                was_due = custody.is_due();
                settled = custody.inner.keyring.epochs();
                next = Instant::now() + REST;
            }
        }
    }
}

impl Custody {
    pub(super) async fn look_after_keys(&self) -> Result<(), CustodyError> {
        if self.is_under_way().await? {
            self.resume().await?;
        } else {
            self.conclude().await?;
        }
        if !self.is_due() {
            return Ok(());
        }
        let current = self.inner.keyring.current().id;
        if self.inner.keyring.is_managed() {
            self.rotate(current).await?;
        } else {
            tracing::warn!(
                epoch = current,
                "the key epoch is older than keyring.rotate_every_days: \
                 add the next one to the keyring"
            );
        }
        Ok(())
    }

    /// Whether the current epoch is older than it should become.
    fn is_due(&self) -> bool {
        let days = self.inner.rotate_every_days;
        let age = self
            .inner
            .clock
            .now()
            .duration_since(self.inner.keyring.current().created_at);
        days > 0 && age >= SignedDuration::from_hours(24 * i64::from(days))
    }
}
