//! Backups: one file, a line a row, taken inside one read snapshot while the
//! service serves, sealed under a key of the store's own, never with a keyring
//! in it. What a key epoch wrapped is unreadable once that epoch has ended.

mod catalogue;
mod cell;
mod check;
mod error;
mod format;
mod read;
mod restore;
mod table;
mod take;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};

pub use catalogue::Backup;
pub use cell::{Blob, Cell};
pub use error::BackupError;
pub(super) use format::MAC_KEY;
pub use table::{RowKey, Table, TableOf, table};
pub use write::Draft;

use super::{Custody, CustodyError, entity::sealed_secret, wrapped::Wrapped};
use crate::db::named_key;

/// The tables of the store that are custody's own and go into backups.
fn own_tables() -> Vec<Box<dyn Table>> {
    vec![
        Box::new(
            table::<named_key::entity::Entity>()
                .with_keys(NAMED_KEYS)
                .made_at_start(),
        ),
        Box::new(
            table::<sealed_secret::Entity>()
                .with_keys(SEALED_SECRETS)
                .made_at_start(),
        ),
    ]
}

pub(super) const NAMED_KEYS: Wrapped<named_key::entity::Entity> = Wrapped {
    epoch: named_key::entity::Column::Epoch,
    key: named_key::entity::Column::Sealed,
    bound_to: named_key::entity::Column::Name,
};

pub(super) const SEALED_SECRETS: Wrapped<sealed_secret::Entity> = Wrapped {
    epoch: sealed_secret::Column::Epoch,
    key: sealed_secret::Column::WrappedKey,
    bound_to: sealed_secret::Column::Name,
};

impl Custody {
    /// Every table that goes into a backup, in an order in which they can be
    /// inserted.
    fn tables(&self) -> Vec<Box<dyn Table>> {
        let mut tables = own_tables();
        tables.extend(self.inner.custodian.tables());
        tables
    }

    pub(super) fn backup_folder(&self) -> Result<&Path, BackupError> {
        let folder = self.inner.backup.folder.as_deref();
        folder.ok_or(BackupError::NotConfigured)
    }

    /// A file of the backup folder: nothing else is read for a caller. A bare
    /// name is one in that folder.
    pub(super) async fn file_in_folder(&self, path: &Path) -> Result<PathBuf, CustodyError> {
        let folder = self.backup_folder()?;
        let elsewhere = || BackupError::Elsewhere {
            path: path.to_owned(),
            folder: folder.to_owned(),
        };
        let (real_folder, real) = (
            tokio::fs::canonicalize(folder).await,
            tokio::fs::canonicalize(folder.join(path)).await,
        );
        match (real_folder, real) {
            (Ok(parent), Ok(real)) if real.parent() == Some(parent.as_path()) && real.is_file() => {
                Ok(real)
            }
            _ => Err(elsewhere().into()),
        }
    }
}
