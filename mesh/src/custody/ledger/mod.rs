//! The erasure ledger: who was erased, by the id that this service knows, in a
//! file outside the database and its backups, so that a restore can erase them
//! again. Each line is signed over the hash of the one before it: none can be
//! dropped, moved or edited unseen, save the last ones, which is what copies
//! and numbers known elsewhere are for.

mod chain;
mod file;
mod line;
mod start;
#[cfg(test)]
mod tests;
mod text;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
pub use line::Entry;
use uuid::Uuid;

use self::chain::Chain;
use super::{Identity, Signer, config::ErasureConfig};

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("erasure ledger {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("erasure ledger {path}, line {line} {detail}: put an unbroken copy in its place")]
    Broken {
        path: PathBuf,
        line: u64,
        detail: &'static str,
    },
    #[error(
        "erasure ledger {path} ends with number {found}, and {known_by} knows of number {known}: \
         put the longer one in its place"
    )]
    Short {
        path: PathBuf,
        found: u64,
        known: u64,
        known_by: String,
    },
    #[error(
        "erasure ledger {path} and its copy {copy} say different things from line {line} on: \
         find out which one was changed, and put the other in its place"
    )]
    Parted {
        path: PathBuf,
        copy: PathBuf,
        line: u64,
    },
    #[error("erasure ledger {path} is of {found}, and this is {wanted}: name this service's own")]
    OfAnother {
        path: PathBuf,
        found: String,
        wanted: String,
    },
    #[error(
        "erasure ledger {path} was begun with the key {kid}, which this store does not have: \
         restore the store it belongs to, or move it away if that store is gone for good"
    )]
    OtherKey { path: PathBuf, kid: String },
    #[error("{path} cannot be the ledger's copy, since it is the ledger: name another folder")]
    CopyOfItself { path: PathBuf },
    #[error("erasure ledger {path}: a line cannot be signed")]
    Unsigned { path: PathBuf },
    #[error("the task that wrote the erasure ledger died; try again")]
    Task,
}

/// Whole and verified when it was opened. Replicas may share the file.
#[derive(Clone)]
pub struct Ledger {
    chain: Arc<Mutex<Chain>>,
}

impl Ledger {
    /// Verifies every line and brings the copies up to date; makes the ledger
    /// where there is neither it nor a copy. Half a last line, as a crash
    /// leaves behind, is cut off.
    pub async fn open(
        config: &ErasureConfig,
        identity: &Identity,
        signer: &Signer,
    ) -> Result<Self, LedgerError> {
        let (config, identity, signer) = (config.clone(), identity.clone(), signer.clone());
        let chain = tokio::task::spawn_blocking(move || Chain::open(config, &identity, signer))
            .await
            .map_err(|_| LedgerError::Task)??;
        Ok(Self {
            chain: Arc::new(Mutex::new(chain)),
        })
    }

    /// Writes down an erasure whose rows are gone; answers once the line is
    /// durable here and in every copy. The same erasure again adds nothing.
    /// The rows must be gone first: a backup counts on it that what the ledger
    /// names is not in the backup.
    pub async fn append(
        &self,
        id: Uuid,
        pseudonym: Uuid,
        at: Timestamp,
    ) -> Result<Entry, LedgerError> {
        self.with(move |chain| chain.append(id, pseudonym, at))
            .await
    }

    /// The same, whatever moment is named: the first one stands, of those that
    /// conclude an erasure at once too.
    pub async fn append_once(
        &self,
        id: Uuid,
        pseudonym: Uuid,
        at: Timestamp,
    ) -> Result<Entry, LedgerError> {
        self.with(move |chain| chain.append_once(id, pseudonym, at))
            .await
    }

    pub async fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        self.entries_after(0).await
    }

    /// Those with a greater number.
    pub async fn entries_after(&self, number: u64) -> Result<Vec<Entry>, LedgerError> {
        self.with(move |chain| {
            chain.refresh()?;
            Ok(chain.after(number).to_vec())
        })
        .await
    }

    /// Zero while nobody was erased.
    pub async fn last_number(&self) -> Result<u64, LedgerError> {
        self.with(|chain| {
            chain.refresh()?;
            Ok(chain.last_number())
        })
        .await
    }

    pub async fn contains(&self, id: Uuid) -> Result<bool, LedgerError> {
        self.with(move |chain| {
            chain.refresh()?;
            Ok(chain.contains(id))
        })
        .await
    }

    /// Refuses a ledger that ends before a number that somebody knows of.
    pub async fn require(&self, at_least: u64, known_by: &str) -> Result<(), LedgerError> {
        let known_by = known_by.to_owned();
        self.with(move |chain| {
            chain.refresh()?;
            chain.require(at_least, known_by)
        })
        .await
    }

    async fn with<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Chain) -> Result<T, LedgerError> + Send + 'static,
    {
        let chain = self.chain.clone();
        tokio::task::spawn_blocking(move || {
            work(&mut chain.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .map_err(|_| LedgerError::Task)?
    }
}
