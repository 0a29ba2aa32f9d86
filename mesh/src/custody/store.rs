//! What a service tells custody of its database.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Act, CustodyError, backup::Table};

/// A service's store, as far as keys, backups and erasures need to know it.
/// `named_keys` and `sealed_secrets` are custody's own: a custodian leaves
/// them out of everything below.
#[tonic::async_trait]
pub trait Custodian: Send + Sync + 'static {
    /// How many rows are wrapped by, or hashed under, each epoch.
    async fn references(&self) -> Result<BTreeMap<i64, u64>, CustodyError>;

    /// Moves up to `limit` rows to the current epoch; how many it moved. Zero:
    /// nothing that can be moved refers to older epochs.
    async fn rewrap(&self, limit: u64) -> Result<u64, CustodyError>;

    /// Opens every data key (and what it seals, where that is cheap); rows that
    /// do not open.
    async fn verify(&self) -> Result<u64, CustodyError>;

    /// The tables, in an order in which they can be inserted.
    fn tables(&self) -> Vec<Box<dyn Table>>;

    /// The keys of that epoch and of all before it are gone: receipts become
    /// final. Called again with the same epoch after a crash, and at each
    /// start: the second time has nothing left to do.
    async fn epoch_ended(&self, ended: i64, at: Timestamp) -> Result<(), CustodyError>;

    /// Puts it on its way to the audit log, durably.
    async fn acted(&self, act: Act) -> Result<(), CustodyError>;
}
