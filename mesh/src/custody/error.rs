//! What can go wrong, and its one mapping to gRPC.

use std::error::Error;

use sea_orm::DbErr;
use tonic::{Code, Status};

use super::{BackupError, LedgerError, ResidencyError};
use crate::{
    crypto::CryptoError,
    db::{WriteError, is_unique_violation, named_key::NamedKeyError},
    error::status,
    keyring::KeyringError,
};

#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    #[error("{field} {detail}")]
    InvalidField {
        field: &'static str,
        detail: &'static str,
    },
    #[error("a rotation, a backup or a restore is under way: try again when it has ended")]
    Busy,
    #[error(
        "{rows} rows stay under the epochs {epochs:?} and cannot be moved, \
         or others write under these epochs: nothing was destroyed; \
         look for rows that do not open, and for replicas with another keyring"
    )]
    Stuck { epochs: Vec<i64>, rows: u64 },
    #[error(
        "{0} rows do not open: no key was destroyed; erase them or restore the store, \
         then rotate again"
    )]
    Unopened(u64),
    #[error("no erasure ledger is configured: name a file as erasure.ledger")]
    NoLedger,
    #[error("the key that signs receipts: {0}")]
    Signing(&'static str),
    #[error("the task died: try again")]
    Task,
    #[error(transparent)]
    Residency(#[from] ResidencyError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    NamedKey(#[from] NamedKeyError),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the store failed: {0}")]
    Store(Box<dyn Error + Send + Sync>),
}

impl CustodyError {
    /// An error of a service's own, for its custodian to give.
    pub fn store(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(error))
    }

    pub(super) fn is_unique_violation(&self) -> bool {
        match self {
            Self::Database(error) => is_unique_violation(error),
            Self::Write(WriteError::Database(error)) => is_unique_violation(error),
            _ => false,
        }
    }
}

impl From<CustodyError> for Status {
    fn from(error: CustodyError) -> Self {
        // Operators alone call, so they are told what to do, with its path.
        let told = |code, reason| status(code, reason, error.to_string());
        match &error {
            CustodyError::InvalidField { .. } => told(Code::InvalidArgument, "INVALID_FIELD"),
            CustodyError::Busy => told(Code::Aborted, "CUSTODY_BUSY"),
            CustodyError::Stuck { .. } | CustodyError::Unopened(_) => {
                told(Code::FailedPrecondition, "ROTATION_STUCK")
            }
            CustodyError::NoLedger => told(Code::FailedPrecondition, "LEDGER_NOT_CONFIGURED"),
            CustodyError::Backup(backup) => {
                let (code, reason) = of_backup(backup);
                told(code, reason)
            }
            CustodyError::Ledger(ledger) => {
                let (code, reason) = of_ledger(ledger);
                told(code, reason)
            }
            CustodyError::Keyring(KeyringError::MissingEpoch(_)) => {
                told(Code::FailedPrecondition, "KEY_EPOCH_MISSING")
            }
            CustodyError::Keyring(KeyringError::NotManaged { .. }) => {
                told(Code::FailedPrecondition, "KEYRING_NOT_MANAGED")
            }
            CustodyError::Keyring(KeyringError::Transit(_)) => {
                told(Code::Unavailable, "TRANSIT_UNAVAILABLE")
            }
            CustodyError::Database(_)
            | CustodyError::Write(_)
            | CustodyError::NamedKey(NamedKeyError::Database(_))
            | CustodyError::Store(_) => {
                tracing::error!(%error, "store failed");
                Status::unavailable("the store cannot be reached")
            }
            CustodyError::Signing(_)
            | CustodyError::Task
            | CustodyError::Residency(_)
            | CustodyError::Keyring(_)
            | CustodyError::NamedKey(_)
            | CustodyError::Crypto(_) => {
                tracing::error!(%error, "internal error");
                Status::internal("internal error")
            }
        }
    }
}

fn of_backup(error: &BackupError) -> (Code, &'static str) {
    match error {
        BackupError::NotConfigured => (Code::FailedPrecondition, "BACKUPS_NOT_CONFIGURED"),
        BackupError::Unknown(_) | BackupError::Elsewhere { .. } => {
            (Code::NotFound, "BACKUP_NOT_FOUND")
        }
        BackupError::Io { .. } => (Code::Unavailable, "BACKUP_UNREADABLE"),
        BackupError::Damaged { .. } | BackupError::Misfit { .. } => {
            (Code::DataLoss, "BACKUP_DAMAGED")
        }
        BackupError::OfAnother { .. } => (Code::FailedPrecondition, "BACKUP_OF_ANOTHER"),
        BackupError::MissingEpoch { .. } => (Code::FailedPrecondition, "KEY_EPOCH_MISSING"),
        BackupError::Newer { .. } | BackupError::UnknownColumn { .. } => {
            (Code::FailedPrecondition, "BACKUP_OF_NEWER_RELEASE")
        }
        BackupError::Unopened { .. } => (Code::DataLoss, "BACKUP_KEYS_UNOPENED"),
        BackupError::NotEmpty { .. } => (Code::FailedPrecondition, "STORE_NOT_EMPTY"),
        BackupError::EpochBegan | BackupError::Changed => (Code::Aborted, "BACKUP_CHANGED"),
        BackupError::Unsupported { .. } | BackupError::Unwritable => {
            (Code::Internal, "BACKUP_UNSUPPORTED")
        }
    }
}

fn of_ledger(error: &LedgerError) -> (Code, &'static str) {
    match error {
        LedgerError::Short { .. } => (Code::FailedPrecondition, "LEDGER_SHORT"),
        LedgerError::Broken { .. } | LedgerError::Parted { .. } => {
            (Code::DataLoss, "LEDGER_BROKEN")
        }
        LedgerError::OfAnother { .. }
        | LedgerError::OtherKey { .. }
        | LedgerError::CopyOfItself { .. } => (Code::FailedPrecondition, "LEDGER_OF_ANOTHER"),
        LedgerError::Io { .. } | LedgerError::Unsigned { .. } | LedgerError::Task => {
            (Code::Unavailable, "LEDGER_UNWRITABLE")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::reason;

    #[test]
    fn an_operator_is_told_what_to_do_and_nobody_what_the_store_said() {
        let status = Status::from(CustodyError::from(KeyringError::MissingEpoch(7)));
        assert_eq!(status.code(), Code::FailedPrecondition);
        let (reason, _) = reason(&status).expect("a reason");
        assert_eq!(reason, "KEY_EPOCH_MISSING");
        assert!(status.message().contains('7'));

        let failed = DbErr::Custom("of the password x".into());
        let status = Status::from(CustodyError::from(failed));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("password"));
    }
}
