//! The lines of a backup: a header, a line a row, a trailer.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Blob, Cell};
use crate::{crypto::Key, custody::Identity, keyring::WrappedKey};

pub(super) const FORMAT: &str = "propdev backup";
pub(super) const VERSION: u32 = 1;

/// How a line begins that holds a row.
pub(super) const ROW: &[u8] = b"{\"t\":";

/// The key that seals backups, among the named keys of the store; a backup
/// carries it wrapped, since a store to restore into has another.
pub(in crate::custody) const MAC_KEY: &str = "backup-mac";

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) id: Uuid,
    pub(super) service: String,
    pub(super) deployment: String,
    pub(super) region: String,
    /// Current when the backup was taken.
    pub(super) epoch: i64,
    /// All that the rows refer to.
    pub(super) epochs: Vec<i64>,
    pub(super) migrations: Vec<String>,
    pub(super) created_at: Timestamp,
    /// What the ledger names up to here is in no row.
    pub(super) ledger_number: u64,
    pub(super) tables: Vec<Columns>,
    pub(super) mac_key: MacKey,
}

impl Header {
    pub(super) fn identity(&self) -> Identity {
        Identity {
            service: self.service.clone(),
            deployment: self.deployment.clone(),
            region: self.region.clone(),
        }
    }

    pub(super) fn oldest_epoch(&self) -> i64 {
        self.epochs.iter().copied().min().unwrap_or(self.epoch)
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Columns {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MacKey {
    pub(super) epoch: i64,
    pub(super) sealed: Blob,
}

impl MacKey {
    pub(super) fn of(wrapped: WrappedKey) -> Self {
        Self {
            epoch: wrapped.epoch,
            sealed: Blob(wrapped.sealed),
        }
    }

    pub(super) fn wrapped(&self) -> WrappedKey {
        WrappedKey {
            epoch: self.epoch,
            sealed: self.sealed.0.clone(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct RowToWrite<'a> {
    pub(super) t: &'a str,
    pub(super) r: &'a [Cell],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) t: String,
    pub(super) r: Vec<Cell>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    pub(super) rows: BTreeMap<String, u64>,
    /// Of everything before this line.
    pub(super) sha256: Blob,
    pub(super) mac: Blob,
}

pub(super) fn mac(key: &Key, sha256: &[u8]) -> [u8; 32] {
    key.mac(&[b"propdev backup trailer", sha256])
}

/// What a whole backup turned out to be.
pub(super) struct Whole {
    pub(super) header: Header,
    pub(super) path: PathBuf,
    pub(super) size_bytes: u64,
    pub(super) rows: u64,
    pub(super) sha256: Vec<u8>,
}
