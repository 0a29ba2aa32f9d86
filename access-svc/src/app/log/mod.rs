//! The audit log: what biometric-svc did to its store is asked for, entries get
//! their numbers, checkpoints go outside, time destroys what it must, and whoever
//! may reads and proves.

mod acts;
mod claim;
mod outside;
mod retention;
mod search;
mod sequencer;
mod witness;

use audit_log::{CheckpointError, LogKey, VerifierKey};
use mesh::db::lease::Lease;
pub(crate) use search::ToProve;

use crate::config::AuditConfig;

/// What the log is kept with.
pub(crate) struct Log {
    key: LogKey,
    verifier: VerifierKey,
    settings: AuditConfig,
    /// One replica at a time gives numbers.
    numbering: Lease,
    /// One replica at a time tells the outside.
    telling: Lease,
}

impl Log {
    pub(crate) fn new(
        key: LogKey,
        settings: AuditConfig,
        lease: impl Fn(&str) -> Lease,
    ) -> Result<Self, CheckpointError> {
        Ok(Self {
            verifier: key.verifier()?,
            key,
            settings,
            numbering: lease("audit-numbers"),
            telling: lease("audit-outside"),
        })
    }
}
