//! The key file on the disk: read whole, replaced whole. The bytes of what it
//! replaced are overwritten before they are let go, as far as the file system
//! lets us.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::{
    KeyringError,
    format::{self, Keys, Stored},
};
use crate::{config::KeyringConfig, fault};

/// Where a service's keys are.
#[derive(Clone)]
pub(super) struct KeyFile {
    service: String,
    path: PathBuf,
    allow_group_read: bool,
}

/// What was in the file at one time.
pub(super) struct Contents {
    /// Oldest first; at least one.
    pub(super) epochs: Vec<Stored>,
    /// Of the text, to notice a change; mounted Secrets change by symlink, so
    /// that times and inodes tell nothing.
    pub(super) digest: [u8; 32],
}

impl Contents {
    /// The current epoch's id.
    pub(super) fn newest(&self) -> i64 {
        // `format::parse` refuses a keyring without epochs.
        self.epochs[self.epochs.len() - 1].id
    }

    /// Whether a key is not wrapped by Transit.
    pub(super) fn any_plain(&self) -> bool {
        let mut epochs = self.epochs.iter();
        epochs.any(|epoch| matches!(epoch.keys, Keys::Plain(_)))
    }
}

impl KeyFile {
    pub(super) fn new(service: &str, config: &KeyringConfig) -> Self {
        Self {
            service: service.into(),
            path: config.path.clone(),
            allow_group_read: config.allow_group_read,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn malformed(&self, detail: &'static str) -> KeyringError {
        KeyringError::Malformed {
            path: self.path.clone(),
            detail,
        }
    }

    fn fault(&self, source: io::Error) -> KeyringError {
        KeyringError::Io {
            path: self.path.clone(),
            source,
        }
    }

    pub(super) fn read(&self) -> Result<Contents, KeyringError> {
        match self.read_at(&self.path) {
            // It may have been replaced, and its bytes wiped, while it was read.
            Err(KeyringError::Malformed { .. }) => self.read_at(&self.path),
            other => other,
        }
    }

    fn read_at(&self, path: &Path) -> Result<Contents, KeyringError> {
        let mut file = fs::File::open(path).map_err(|e| self.fault(e))?;
        let metadata = file.metadata().map_err(|e| self.fault(e))?;
        if let Some(mode) = exposed(&metadata, self.allow_group_read) {
            return Err(KeyringError::Exposed {
                path: self.path.clone(),
                mode,
            });
        }
        let length = usize::try_from(metadata.len()).unwrap_or_default();
        let mut text = Zeroizing::new(Vec::<u8>::with_capacity(length + 1));
        file.read_to_end(&mut text).map_err(|e| self.fault(e))?;
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| Timestamp::try_from(time).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let (service, epochs) =
            format::parse(&text, modified).map_err(|detail| self.malformed(detail))?;
        if service != self.service {
            return Err(KeyringError::OfAnother {
                path: self.path.clone(),
                found: service,
                wanted: self.service.clone(),
            });
        }
        let mut seen = [0; 32];
        seen.copy_from_slice(digest(&SHA256, &text).as_ref());
        Ok(Contents {
            epochs,
            digest: seen,
        })
    }

    /// Waits for the right to change the file, which other processes may
    /// share, and wipes what a crash left beside it.
    pub(super) fn lock(&self) -> Result<Locked, KeyringError> {
        // Behind a symlink it is the file that is changed, not the link.
        let path = match fs::canonicalize(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.path.clone(),
            other => other.map_err(|e| self.fault(e))?,
        };
        let folder = lock_folder(&path).map_err(|e| self.fault(e))?;
        for leftover in leftovers(&path) {
            wipe(&leftover, &path).map_err(|e| self.fault(e))?;
        }
        Ok(Locked {
            file: self.clone(),
            path,
            folder,
        })
    }

    /// Wipes what a crash left beside the file.
    pub(super) fn clear(&self) -> Result<(), KeyringError> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let any = leftovers(&path)
            .iter()
            .any(|leftover| leftover.symlink_metadata().is_ok());
        if any {
            self.lock()?;
        }
        Ok(())
    }

    /// Writes a new file with mode 0600; never over another.
    pub(super) fn create(&self, first: Stored) -> Result<(), KeyringError> {
        fs::create_dir_all(folder_of(&self.path)).map_err(|e| self.fault(e))?;
        let locked = self.lock()?;
        let text = self.render(&[first])?;
        locked.create(&text).map_err(|e| self.fault(e))
    }

    /// Oldest and newest version of the Transit key that wrap an epoch; none
    /// of one in the clear.
    pub(super) fn versions(&self, epoch: &Stored) -> Result<Option<(u64, u64)>, KeyringError> {
        match &epoch.keys {
            Keys::Plain(_) => Ok(None),
            Keys::Wrapped(pair) => pair
                .versions()
                .map(Some)
                .ok_or_else(|| self.malformed("a wrapped key names no version of the Transit key")),
        }
    }

    fn render(&self, epochs: &[Stored]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        format::render(&self.service, epochs)
            .map_err(|_| self.malformed("it cannot be written as JSON"))
    }
}

/// The right to change the file, until dropped.
pub(super) struct Locked {
    file: KeyFile,
    /// Where the file really is.
    path: PathBuf,
    folder: fs::File,
}

impl Locked {
    pub(super) fn read(&self) -> Result<Contents, KeyringError> {
        self.file.read_at(&self.path)
    }

    /// Puts these epochs in place of what is in the file.
    pub(super) fn replace(&self, epochs: &[Stored]) -> Result<(), KeyringError> {
        let text = self.file.render(epochs)?;
        self.write(&text).map_err(|e| self.file.fault(e))
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let [draft, retired] = leftovers(&self.path);
        // What could not be overwritten afterwards is not replaced.
        let live = OpenOptions::new().write(true).open(&self.path)?;
        let mode = live.metadata()?.mode() & 0o777;
        write_draft(&draft, text, mode)?;
        fault::point("keyring.after_draft");
        // The old file keeps a name until it is wiped: a crash in between
        // leaves something that the next start finds.
        fs::hard_link(&self.path, &retired)?;
        fault::point("keyring.after_link");
        fs::rename(&draft, &self.path)?;
        self.folder.sync_all()?;
        fault::point("keyring.after_rename");
        wipe(&retired, &self.path)?;
        self.folder.sync_all()
    }

    fn create(&self, text: &[u8]) -> io::Result<()> {
        let [draft, _] = leftovers(&self.path);
        // Whole or not at all: a crash must not leave half a keyring behind.
        write_draft(&draft, text, 0o600)?;
        let linked = fs::hard_link(&draft, &self.path);
        wipe(&draft, &self.path)?;
        linked?;
        self.folder.sync_all()
    }
}

/// The file's mode when others can read it, or its group where it must not.
pub(super) fn exposed(metadata: &fs::Metadata, allow_group_read: bool) -> Option<u32> {
    let mode = metadata.mode() & 0o777;
    let forbidden = if allow_group_read { 0o037 } else { 0o077 };
    (mode & forbidden != 0).then_some(mode)
}

/// A new file on its way in, and an old one on its way out.
fn leftovers(path: &Path) -> [PathBuf; 2] {
    [path.with_extension("draft"), path.with_extension("retired")]
}

/// The parent of a bare file name is the empty path.
fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn lock_folder(path: &Path) -> io::Result<fs::File> {
    let folder = fs::File::open(folder_of(path))?;
    folder.lock()?;
    Ok(folder)
}

fn write_draft(draft: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    out.set_permissions(Permissions::from_mode(mode))?;
    out.write_all(text)?;
    out.sync_all()
}

/// Overwrites and removes a file. One that is the live file under another
/// name, as a crash between linking and renaming leaves it, loses the name alone.
fn wipe(leftover: &Path, live: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(leftover) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let metadata = file.metadata()?;
    let same = match fs::metadata(live) {
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        other => {
            let live = other?;
            (live.dev(), live.ino()) == (metadata.dev(), metadata.ino())
        }
    };
    if !same {
        let length = usize::try_from(metadata.len()).unwrap_or_default();
        file.write_all(&vec![0; length])?;
        file.sync_all()?;
    }
    fs::remove_file(leftover)
}
