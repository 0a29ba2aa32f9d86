use std::path::PathBuf;

use super::transit::TransitError;
use crate::crypto::CryptoError;

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("keyring {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("keyring {path} has mode {mode:04o}: others can read it; make it 0600")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("keyring {path} is not a keyring: {detail}")]
    Malformed { path: PathBuf, detail: &'static str },
    #[error("keyring {path} is of service {found}, not of {wanted}")]
    OfAnother {
        path: PathBuf,
        found: String,
        wanted: String,
    },
    #[error(
        "keyring {path} is not there, and with keyring.managed = false none is made: \
         make one with `propctl dev keyring --service {service}` and mount it"
    )]
    Absent { path: PathBuf, service: String },
    #[error("the keyring has no epoch {0}, under which the database's keys are wrapped")]
    MissingEpoch(i64),
    #[error(
        "keyring {path}: epoch {epoch} has other keys than before; the old ones stay in use: \
         put back the file that had them"
    )]
    Replaced { path: PathBuf, epoch: i64 },
    #[error(
        "keyring {path} ends with epoch {found}, though epoch {current} is in use; \
         the old keys stay in use: put back the file that had it"
    )]
    Older {
        path: PathBuf,
        found: i64,
        current: i64,
    },
    #[error(
        "keyring {path} is changed by its operator alone (keyring.managed = false): {action}; \
         the service takes the new file within seconds"
    )]
    NotManaged { path: PathBuf, action: String },
    #[error(
        "epoch {0} is the keyring's current one and cannot be retired: \
         add an epoch and rewrap everything first"
    )]
    Current(i64),
    #[error("the task that changed the keyring died; try again")]
    Task,
    #[error(transparent)]
    Transit(#[from] TransitError),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}
