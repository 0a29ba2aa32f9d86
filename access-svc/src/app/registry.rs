//! What everything registered has in common.

use audit_log::{Entry, Kind};
use mesh::clock::to_micros;

use super::App;
use crate::domain::entry;

impl App {
    pub(super) fn now_micros(&self) -> i64 {
        to_micros(self.parts.clock.now())
    }

    /// What the audit log says of something that the caller does.
    pub(super) fn act(&self, code: &str) -> Entry {
        entry::act(Kind::Act, code, self.parts.clock.now())
    }
}
