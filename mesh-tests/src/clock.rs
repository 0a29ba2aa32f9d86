//! Time that a test moves on, for what takes hours.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use mesh::{Clock, SystemClock};

/// The machine's own time and so much.
#[derive(Default)]
pub struct ShiftedClock {
    seconds: AtomicI64,
}

impl ShiftedClock {
    pub fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let shift = SignedDuration::from_secs(self.seconds.load(Ordering::Relaxed));
        SystemClock.now() + shift
    }
}
