//! What every service with a store owes it: whose it is and where it lies, key
//! epochs that end, backups that end with them, a ledger of erasures, and the
//! key that signs receipts. A service describes its tables; the rest is here.

mod act;
pub mod backup;
pub mod config;
mod diagnosis;
#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
mod entity;
mod error;
mod exclusive;
mod grpc;
pub mod ledger;
mod migration;
mod residency;
mod restoring;
mod rotation;
mod schedule;
mod signer;
mod status;
mod store;
#[cfg(test)]
mod testing;
pub mod wrapped;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64},
    },
    time::Duration,
};

pub use act::Act;
pub use backup::{Backup, BackupError};
pub use diagnosis::{CorruptRows, DiagnosisApi};
pub use error::CustodyError;
pub use grpc::CustodyApi;
pub use ledger::{Ledger, LedgerError};
pub use migration::migrate;
pub use residency::{Identity, ResidencyError};
pub use rotation::Rotation;
use serde::Serialize;
pub use signer::{Jwk, Signer, Verifier};
pub use status::{EpochStatus, KeyStatus};
pub use store::Custodian;
pub use wrapped::Wrapped;

use self::{
    backup::{MAC_KEY, NAMED_KEYS, SEALED_SECRETS},
    config::{BackupConfig, ErasureConfig, Particulars, ResidencyConfig},
};
use crate::{
    Clock,
    db::{Db, named_key},
    keyring::Keyring,
    shutdown::Shutdown,
};

/// What custody is made of.
pub struct Parts {
    pub service: &'static str,
    /// Migrated: [`migrate`] and [`crate::db::lease::migrate`] have run.
    pub db: Db,
    pub keyring: Keyring,
    pub custodian: Arc<dyn Custodian>,
    pub clock: Arc<dyn Clock>,
    pub residency: ResidencyConfig,
    pub backup: BackupConfig,
    /// None for a service that erases nobody.
    pub erasure: Option<ErasureConfig>,
    /// As `[keyring]` has it; 0 is never.
    pub rotate_every_days: u32,
    /// Ends what goes on by itself.
    pub shutdown: Shutdown,
    /// Called once a restore is committed: what the process holds in memory is
    /// of another store, and it must start over.
    pub restart: Arc<dyn Fn() + Send + Sync>,
}

/// The one door to a store's keys, backups and receipts.
#[derive(Clone)]
pub struct Custody {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    particulars: Particulars,
    db: Db,
    keyring: Keyring,
    custodian: Arc<dyn Custodian>,
    clock: Arc<dyn Clock>,
    backup: BackupConfig,
    signer: Signer,
    ledger: Option<Ledger>,
    rotate_every_days: u32,
    restart: Arc<dyn Fn() + Send + Sync>,
    settle: Duration,
    rotating: AtomicBool,
    /// The newest epoch whose end the store was told of by this process.
    ended: AtomicI64,
}

impl Custody {
    /// Refuses a store of another, one whose keys are missing, and a broken
    /// ledger; then looks after the keys until shutdown.
    pub async fn open(parts: Parts) -> Result<Self, CustodyError> {
        let shutdown = parts.shutdown.clone();
        let custody = Self::open_with(parts, rotation::SETTLE).await?;
        tokio::spawn(schedule::keep(custody.clone(), shutdown));
        Ok(custody)
    }

    /// Without anything going on by itself.
    async fn open_with(parts: Parts, settle: Duration) -> Result<Self, CustodyError> {
        let identity = residency::wanted(parts.service, &parts.residency)?;
        residency::check(
            &parts.db,
            &parts.custodian,
            &identity,
            parts.residency.adopt_store_without_identity,
            parts.clock.now(),
        )
        .await?;
        let signer = Signer::open(&parts.db, &parts.keyring).await?;
        named_key::load_or_create(&parts.db.read, &parts.keyring, MAC_KEY).await?;
        let ledger = match &parts.erasure {
            Some(config) => Some(Ledger::open(config, &identity, &signer).await?),
            None => None,
        };
        let particulars = parts.erasure.map(|config| config.act).unwrap_or_default();
        let custody = Self {
            inner: Arc::new(Inner {
                identity,
                particulars,
                db: parts.db,
                keyring: parts.keyring,
                custodian: parts.custodian,
                clock: parts.clock,
                backup: parts.backup,
                signer,
                ledger,
                rotate_every_days: parts.rotate_every_days,
                restart: parts.restart,
                settle,
                rotating: AtomicBool::new(false),
                ended: AtomicI64::new(0),
            }),
        };
        for epoch in custody.references().await?.into_keys() {
            custody.inner.keyring.epoch(epoch)?;
        }
        Ok(custody)
    }

    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// What receipts name beside what was destroyed.
    pub fn particulars(&self) -> &Particulars {
        &self.inner.particulars
    }

    /// The epoch under which everything new is wrapped.
    pub fn current_epoch(&self) -> i64 {
        self.inner.keyring.current().id
    }

    pub fn ledger(&self) -> Result<&Ledger, CustodyError> {
        self.inner.ledger.as_ref().ok_or(CustodyError::NoLedger)
    }

    /// A receipt: a compact JWS of type `propdev-receipt+jwt`.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, CustodyError> {
        self.inner.signer.sign(signer::RECEIPT_TYPE, claims)
    }

    /// What verifies receipts and the ledger, as a JWK Set.
    pub fn jwks(&self) -> String {
        self.inner.signer.jwks()
    }

    /// Rows under each epoch, custody's own included.
    async fn references(&self) -> Result<BTreeMap<i64, u64>, CustodyError> {
        let db = &self.inner.db.read;
        let mut sum = self.inner.custodian.references().await?;
        for own in [
            NAMED_KEYS.references(db).await?,
            SEALED_SECRETS.references(db).await?,
        ] {
            for (epoch, rows) in own {
                *sum.entry(epoch).or_default() += rows;
            }
        }
        Ok(sum)
    }

    /// Opens every key of the store; rows that do not open.
    pub async fn verify(&self) -> Result<u64, CustodyError> {
        let (db, keyring) = (&self.inner.db.read, &self.inner.keyring);
        Ok(self.inner.custodian.verify().await?
            + NAMED_KEYS.verify(db, keyring).await?
            + SEALED_SECRETS.verify(db, keyring).await?)
    }
}
