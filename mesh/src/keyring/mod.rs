//! The keys of a service: one random key-encryption key and one lookup key an
//! epoch, in a file outside the database. Made at first start, refused when
//! others can read it, followed when it changes.

mod change;
mod error;
mod file;
mod format;
mod source;
mod transit;

#[cfg(test)]
mod tests;

use std::{
    io::ErrorKind,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures::FutureExt;
use jiff::Timestamp;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task,
};

pub use self::{error::KeyringError, transit::TransitError};
use self::{
    file::KeyFile,
    format::{Keys, Pair, Stored},
    source::Source,
};
use crate::{
    Clock,
    config::KeyringConfig,
    crypto::{CryptoError, Key},
};

/// How long Transit is left alone after it failed a caller that waited for it.
const RESPITE: Duration = Duration::from_secs(1);

/// The keys of one epoch.
#[derive(Clone)]
pub struct Epoch {
    pub id: i64,
    pub created_at: Timestamp,
    /// Wraps every data key.
    pub kek: Key,
    /// Keys the lookup hashes of personal values.
    pub lookup: Key,
}

/// All epochs of a service, the last one being current. Clones share them.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

struct Inner {
    source: Source,
    state: ArcSwap<State>,
    /// One change of the file at a time.
    changing: tokio::sync::Mutex<()>,
    /// Whether Transit may still hold versions that a retirement ended.
    unsettled: AtomicBool,
    /// When Transit last failed a caller of [`Keyring::epoch`].
    failed_at: Mutex<Option<Instant>>,
}

struct State {
    /// Oldest first; never empty.
    epochs: Vec<Epoch>,
    digest: [u8; 32],
}

impl Keyring {
    /// Reads the key file, or makes it where there is none.
    pub async fn open_or_create(
        service: &str,
        config: &KeyringConfig,
        clock: &dyn Clock,
    ) -> Result<Self, KeyringError> {
        match Self::open(service, config).await {
            Err(KeyringError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        if !config.managed {
            return Err(KeyringError::Absent {
                path: config.path.clone(),
                service: service.into(),
            });
        }
        match Source::new(service, config)?.create(clock.now()).await {
            // A replica that started at the same time was faster.
            Err(KeyringError::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
            made => {
                made?;
                tracing::info!(path = %config.path.display(), "keyring made");
            }
        }
        Self::open(service, config).await
    }

    pub async fn open(service: &str, config: &KeyringConfig) -> Result<Self, KeyringError> {
        let source = Source::new(service, config)?;
        if config.managed {
            source.file.clear()?;
        }
        let contents = source.file.read()?;
        let epochs = source.open(&contents).await?;
        if source.has_transit() && contents.any_plain() {
            tracing::warn!(
                path = %config.path.display(),
                "keys lie in the clear, though keyring.transit is configured: rotate them"
            );
        }
        let keyring = Self {
            inner: Arc::new(Inner {
                source,
                state: ArcSwap::from_pointee(State {
                    epochs,
                    digest: contents.digest,
                }),
                changing: tokio::sync::Mutex::default(),
                unsettled: AtomicBool::new(false),
                failed_at: Mutex::default(),
            }),
        };
        if let Err(error) = keyring.settle().await {
            tracing::warn!(%error, "a retired epoch's version of the Transit key is not trimmed yet");
        }
        Ok(keyring)
    }

    /// Writes a new key file of one epoch, in the clear, with mode 0600; never
    /// over another.
    pub fn create(service: &str, path: &Path, now: Timestamp) -> Result<(), KeyringError> {
        KeyFile::new(service, &KeyringConfig::at(path)).create(Stored {
            id: 1,
            created_at: now,
            keys: Keys::Plain(Pair::random()?),
        })
    }

    /// The epoch under which everything new is wrapped.
    pub fn current(&self) -> Epoch {
        let state = self.inner.state.load();
        // `open` refuses a keyring without epochs.
        state.epochs[state.epochs.len() - 1].clone()
    }

    /// An epoch by its id. One that is not known is looked for in the file
    /// first: another replica may have added it a moment ago.
    pub fn epoch(&self, id: i64) -> Result<Epoch, KeyringError> {
        if let Some(epoch) = self.known(id) {
            return Ok(epoch);
        }
        if let Err(error) = self.reload_now() {
            tracing::warn!(%error, epoch = id, "keyring not read again for a missing epoch");
        }
        self.known(id).ok_or(KeyringError::MissingEpoch(id))
    }

    /// Ids of all epochs, oldest first.
    pub fn epochs(&self) -> Vec<i64> {
        let state = self.inner.state.load();
        state.epochs.iter().map(|epoch| epoch.id).collect()
    }

    /// Whether this service adds and retires epochs itself.
    pub fn is_managed(&self) -> bool {
        self.inner.source.managed
    }

    /// A new data key and its wrapped form for the database.
    pub fn new_data_key(&self, bound_to: &[u8]) -> Result<(Key, WrappedKey), KeyringError> {
        let key = Key::random()?;
        let wrapped = wrap(&self.current(), &key, bound_to)?;
        Ok((key, wrapped))
    }

    pub fn unwrap(&self, wrapped: &WrappedKey, bound_to: &[u8]) -> Result<Key, KeyringError> {
        let epoch = self.epoch(wrapped.epoch)?;
        let bytes = epoch
            .kek
            .open(&wrapped.sealed, &wrap_context(epoch.id, bound_to))?;
        Key::from_slice(&bytes).ok_or(KeyringError::Crypto(CryptoError::Open))
    }

    /// The same data key under the current epoch; none when it is already.
    pub fn rewrap(
        &self,
        wrapped: &WrappedKey,
        bound_to: &[u8],
    ) -> Result<Option<WrappedKey>, KeyringError> {
        let current = self.current();
        if wrapped.epoch == current.id {
            return Ok(None);
        }
        let key = self.unwrap(wrapped, bound_to)?;
        Ok(Some(wrap(&current, &key, bound_to)?))
    }

    fn known(&self, id: i64) -> Option<Epoch> {
        let state = self.inner.state.load();
        state.epochs.iter().find(|epoch| epoch.id == id).cloned()
    }

    /// Reads the file again; true when something new is in force. A file that
    /// is broken, or that does not follow from what is known, changes nothing.
    async fn reload(&self) -> Result<bool, KeyringError> {
        let Inner { source, state, .. } = &*self.inner;
        loop {
            let before = state.load_full();
            let contents = source.file.read()?;
            if contents.digest == before.digest {
                return Ok(false);
            }
            let epochs = source.open(&contents).await?;
            source.check_succession(&before.epochs, &epochs)?;
            let after = Arc::new(State {
                epochs,
                digest: contents.digest,
            });
            let previous = state.compare_and_swap(&before, after);
            if Arc::ptr_eq(&previous, &before) {
                return Ok(true);
            }
        }
    }

    /// The same for a caller that cannot wait asynchronously.
    fn reload_now(&self) -> Result<bool, KeyringError> {
        if !self.inner.source.has_transit() {
            // Nothing in it waits but for Transit.
            return self.reload().now_or_never().unwrap_or(Ok(false));
        }
        match Handle::try_current() {
            Ok(runtime) if matches!(runtime.runtime_flavor(), RuntimeFlavor::MultiThread) => {
                task::block_in_place(|| self.reload_waiting(&runtime))
            }
            // The one thread would wait for itself; the watch reads it soon.
            _ => Ok(false),
        }
    }

    fn reload_waiting(&self, runtime: &Handle) -> Result<bool, KeyringError> {
        let failed_at = &self.inner.failed_at;
        let mut failed_at = failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if failed_at.is_some_and(|at| at.elapsed() < RESPITE) {
            return Ok(false);
        }
        let outcome = runtime.block_on(self.reload());
        *failed_at = outcome.is_err().then(Instant::now);
        outcome
    }
}

/// A data key as the database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    pub epoch: i64,
    pub sealed: Vec<u8>,
}

fn wrap(epoch: &Epoch, key: &Key, bound_to: &[u8]) -> Result<WrappedKey, KeyringError> {
    let context = wrap_context(epoch.id, bound_to);
    Ok(WrappedKey {
        epoch: epoch.id,
        sealed: epoch.kek.seal(key.expose(), &context)?,
    })
}

fn wrap_context(epoch: i64, bound_to: &[u8]) -> Vec<u8> {
    let mut context = b"propdev data key\0".to_vec();
    context.extend_from_slice(&epoch.to_be_bytes());
    context.extend_from_slice(bound_to);
    context
}
