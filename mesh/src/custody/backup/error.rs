use std::path::{Path, PathBuf};

use uuid::Uuid;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("no backups are configured: name a folder as backup.folder")]
    NotConfigured,
    #[error("no backup {0} is remembered: name its file")]
    Unknown(Uuid),
    #[error("{path} is no file in the backup folder {folder}: put it there first")]
    Elsewhere { path: PathBuf, folder: PathBuf },
    #[error("backup {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("backup {path}, line {line} {detail}: it was damaged or edited, use another")]
    Damaged {
        path: PathBuf,
        line: u64,
        detail: &'static str,
    },
    #[error("backup {path} is of {found}, and this is {wanted}: use one of this service's own")]
    OfAnother {
        path: PathBuf,
        found: String,
        wanted: String,
    },
    #[error(
        "backup {path} needs the key of epoch {epoch}, which the keyring does not have: \
         it cannot be read without the keyring of its time"
    )]
    MissingEpoch { path: PathBuf, epoch: i64 },
    #[error(
        "backup {path} was made by a newer release, with {unknown}: \
         restore it with that release"
    )]
    Newer { path: PathBuf, unknown: String },
    #[error(
        "backup {path} has {rows} rows whose keys do not open under the keyring: \
         it is kept, and what these rows hold is lost"
    )]
    Unopened { path: PathBuf, rows: u64 },
    #[error("the store is not empty, {table} has rows: restore into a new one")]
    NotEmpty { table: &'static str },
    #[error("a backup has the column {column} of {table}, which this program does not know")]
    UnknownColumn { table: String, column: String },
    #[error("a backup has values for {table} that its columns do not take")]
    Misfit { table: &'static str },
    #[error("{table}.{column} is of a type that backups do not hold: report this")]
    Unsupported {
        table: &'static str,
        column: &'static str,
    },
    #[error("a row cannot be written as JSON: report this")]
    Unwritable,
    #[error("a new epoch began while the backup was taken: take it again")]
    EpochBegan,
    #[error("the file has changed since it was verified: restore it again")]
    Changed,
}

impl BackupError {
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            path: path.clone(),
            source,
        }
    }
}
