//! Key and certificate files: a key is never readable by others, not even for
//! the moment between being made and being locked.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::DevError;

pub(super) const PRIVATE: u32 = 0o600;
pub(super) const PUBLIC: u32 = 0o644;

/// Writes a file that must not exist yet.
pub(super) fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), DevError> {
    make_folder(path)?;
    write_new(path, content, mode).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => DevError::Exists(path.to_owned()),
        _ => fault(path, source),
    })
}

/// Writes a file, or puts it in place of another at once: a service that
/// reloads must not see half of it.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), DevError> {
    make_folder(path)?;
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    write_new(&draft, content, mode)
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|source| {
            let _ = fs::remove_file(&draft);
            fault(path, source)
        })
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn make_folder(path: &Path) -> Result<(), DevError> {
    match path.parent() {
        Some(folder) => fs::create_dir_all(folder).map_err(|source| fault(folder, source)),
        None => Ok(()),
    }
}

fn fault(path: &Path, source: io::Error) -> DevError {
    DevError::Io {
        path: path.to_owned(),
        source,
    }
}
