//! A lease that a loop holds on to while it has work.

use std::time::Duration;

use jiff::Timestamp;
use mesh::db::lease::Lease;

use crate::error::Error;

pub(super) struct Claim<'a> {
    lease: &'a Lease,
    term: Duration,
    /// Until when it is surely this replica's.
    held: Option<Timestamp>,
}

impl<'a> Claim<'a> {
    pub(super) fn new(lease: &'a Lease, term: Duration) -> Self {
        Self {
            lease,
            term,
            held: None,
        }
    }

    /// Whether the work is this replica's: taken, or renewed in the second half
    /// of its term.
    pub(super) async fn holds(&mut self, now: Timestamp) -> Result<bool, Error> {
        if self.held.is_some_and(|until| now < until - self.term / 2) {
            return Ok(true);
        }
        // To ask costs less than to try.
        if self.held.is_none() && self.lease.is_held(now).await? {
            return Ok(false);
        }
        let held = self.lease.acquire(now, self.term).await?;
        self.held = held.then(|| now + self.term);
        Ok(held)
    }

    /// Nothing is sure any more.
    pub(super) fn doubt(&mut self) {
        self.held = None;
    }
}
