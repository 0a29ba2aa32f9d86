//! The key file of a service: one random key-encryption key and one lookup key
//! an epoch, outside the database. Made at first start, refused when others
//! can read it.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    config::KeyringConfig,
    crypto::{CryptoError, Key},
};

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
    #[error("the keyring has no epoch {0}, under which the database's keys are wrapped")]
    MissingEpoch(i64),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// The keys of one epoch.
#[derive(Clone)]
pub struct Epoch {
    pub id: i64,
    /// Wraps every data key.
    pub kek: Key,
    /// Keys the lookup hashes of personal values.
    pub lookup: Key,
}

/// All epochs of a service, the last one being current.
#[derive(Clone)]
pub struct Keyring {
    epochs: Vec<Epoch>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    service: String,
    epochs: Vec<FileEpoch>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEpoch {
    id: i64,
    kek: String,
    lookup: String,
}

impl Drop for FileEpoch {
    fn drop(&mut self) {
        self.kek.zeroize();
        self.lookup.zeroize();
    }
}

impl Keyring {
    /// Reads the key file, or makes it where there is none.
    pub fn open_or_create(service: &str, config: &KeyringConfig) -> Result<Self, KeyringError> {
        match Self::open(service, config) {
            Err(KeyringError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Self::create(service, &config.path)?;
                tracing::info!(path = %config.path.display(), "keyring made");
                Self::open(service, config)
            }
            other => other,
        }
    }

    pub fn open(service: &str, config: &KeyringConfig) -> Result<Self, KeyringError> {
        let path = &config.path;
        let io = |source| KeyringError::Io {
            path: path.clone(),
            source,
        };
        let malformed = |detail| KeyringError::Malformed {
            path: path.clone(),
            detail,
        };
        let mode = fs::metadata(path).map_err(io)?.mode() & 0o777;
        let forbidden = if config.allow_group_read {
            0o037
        } else {
            0o077
        };
        if mode & forbidden != 0 {
            return Err(KeyringError::Exposed {
                path: path.clone(),
                mode,
            });
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(io)?);
        let file: File =
            serde_json::from_str(&text).map_err(|_| malformed("not the JSON of one"))?;
        if file.version != 1 {
            return Err(malformed("a version this program does not know"));
        }
        if file.service != service {
            return Err(KeyringError::OfAnother {
                path: path.clone(),
                found: file.service.clone(),
                wanted: service.into(),
            });
        }
        let mut epochs = Vec::with_capacity(file.epochs.len());
        for epoch in &file.epochs {
            epochs.push(Epoch {
                id: epoch.id,
                kek: decode(&epoch.kek).ok_or_else(|| malformed("a key is not 32 bytes"))?,
                lookup: decode(&epoch.lookup).ok_or_else(|| malformed("a key is not 32 bytes"))?,
            });
        }
        epochs.sort_by_key(|epoch| epoch.id);
        if epochs.is_empty() {
            return Err(malformed("no epoch"));
        }
        if epochs.windows(2).any(|pair| pair[0].id == pair[1].id) {
            return Err(malformed("an epoch stands twice"));
        }
        Ok(Self { epochs })
    }

    /// Writes a new key file of one epoch with mode 0600; never over another.
    pub fn create(service: &str, path: &Path) -> Result<(), KeyringError> {
        let io = |source| KeyringError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File {
            version: 1,
            service: service.into(),
            epochs: vec![FileEpoch {
                id: 1,
                kek: STANDARD.encode(Key::random()?.expose()),
                lookup: STANDARD.encode(Key::random()?.expose()),
            }],
        };
        let text = Zeroizing::new(serde_json::to_string_pretty(&file).map_err(|_| {
            KeyringError::Malformed {
                path: path.to_owned(),
                detail: "it cannot be written as JSON",
            }
        })?);
        // The parent of a bare file name is the empty path.
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(io)?;
        // Whole or not at all: a crash must not leave half a keyring behind.
        let draft = path.with_extension("draft");
        let _ = fs::remove_file(&draft);
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .map_err(io)?;
        out.write_all(text.as_bytes()).map_err(io)?;
        out.sync_all().map_err(io)?;
        fs::hard_link(&draft, path).map_err(io)?;
        fs::remove_file(&draft).map_err(io)?;
        fs::File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(io)
    }

    pub fn current(&self) -> &Epoch {
        // `open` refuses a keyring without epochs.
        &self.epochs[self.epochs.len() - 1]
    }

    pub fn epoch(&self, id: i64) -> Result<&Epoch, KeyringError> {
        self.epochs
            .iter()
            .find(|epoch| epoch.id == id)
            .ok_or(KeyringError::MissingEpoch(id))
    }

    /// A new data key and its wrapped form for the database.
    pub fn new_data_key(&self, bound_to: &[u8]) -> Result<(Key, WrappedKey), KeyringError> {
        let key = Key::random()?;
        let epoch = self.current();
        let sealed = epoch
            .kek
            .seal(key.expose(), &wrap_context(epoch.id, bound_to))?;
        Ok((
            key,
            WrappedKey {
                epoch: epoch.id,
                sealed,
            },
        ))
    }

    pub fn unwrap(&self, wrapped: &WrappedKey, bound_to: &[u8]) -> Result<Key, KeyringError> {
        let epoch = self.epoch(wrapped.epoch)?;
        let bytes = epoch
            .kek
            .open(&wrapped.sealed, &wrap_context(epoch.id, bound_to))?;
        Key::from_slice(&bytes).ok_or(KeyringError::Crypto(CryptoError::Open))
    }
}

/// A data key as the database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    pub epoch: i64,
    pub sealed: Vec<u8>,
}

fn wrap_context(epoch: i64, bound_to: &[u8]) -> Vec<u8> {
    let mut context = b"propdev data key\0".to_vec();
    context.extend_from_slice(&epoch.to_be_bytes());
    context.extend_from_slice(bound_to);
    context
}

fn decode(text: &str) -> Option<Key> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    Key::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(dir: &tempfile::TempDir) -> KeyringConfig {
        KeyringConfig {
            path: dir.path().join("keys/keyring.json"),
            allow_group_read: false,
        }
    }

    #[test]
    fn it_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = config(&dir);
        let first = Keyring::open_or_create("a-svc", &config).expect("made");
        let second = Keyring::open_or_create("a-svc", &config).expect("read");
        assert_eq!(first.current().kek.expose(), second.current().kek.expose());
        let mode = fs::metadata(&config.path).expect("metadata").mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn one_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = config(&dir);
        Keyring::open_or_create("a-svc", &config).expect("made");
        fs::set_permissions(&config.path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let error = Keyring::open("a-svc", &config).err().expect("refused");
        assert!(error.to_string().contains("0640"), "{error}");
        config.allow_group_read = true;
        assert!(Keyring::open("a-svc", &config).is_ok());
        fs::set_permissions(&config.path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(Keyring::open("a-svc", &config).is_err());
    }

    #[test]
    fn another_services_keyring_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = config(&dir);
        Keyring::open_or_create("a-svc", &config).expect("made");
        let error = Keyring::open("b-svc", &config).err().expect("refused");
        assert!(error.to_string().contains("a-svc"));
    }

    #[test]
    fn a_wrapped_key_is_bound_to_its_row() {
        let dir = tempfile::tempdir().expect("a folder");
        let keyring = Keyring::open_or_create("a-svc", &config(&dir)).expect("made");
        let (key, wrapped) = keyring.new_data_key(b"row 1").expect("wrapped");
        let opened = keyring.unwrap(&wrapped, b"row 1").expect("unwrapped");
        assert_eq!(opened.expose(), key.expose());
        assert!(keyring.unwrap(&wrapped, b"row 2").is_err());
        let absent = WrappedKey {
            epoch: 7,
            ..wrapped
        };
        let error = keyring
            .unwrap(&absent, b"row 1")
            .err()
            .expect("no such epoch");
        assert!(error.to_string().contains("epoch 7"));
    }
}
