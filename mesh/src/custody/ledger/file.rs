//! The files of a ledger: private, appended to, locked while they are written.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::{LedgerError, text::whole_lines};

pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> LedgerError + use<> {
    let path = path.to_owned();
    move |source| LedgerError::Io {
        path: path.clone(),
        source,
    }
}

/// For appending, made where it is not there; until it is closed nobody else
/// has it so.
pub(super) fn open_locked(path: &Path) -> Result<File, LedgerError> {
    let fault = io(path);
    let folder = folder(path);
    fs::create_dir_all(folder).map_err(&fault)?;
    let fresh = !path.exists();
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(&fault)?;
    if fresh {
        // The file's name must outlive a crash too.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(&fault)?;
    }
    file.lock().map_err(&fault)?;
    Ok(file)
}

/// Everything from that byte on.
pub(super) fn read_from(file: &mut File, path: &Path, start: u64) -> Result<Vec<u8>, LedgerError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))
        .and_then(|_| file.read_to_end(&mut bytes))
        .map_err(io(path))?;
    Ok(bytes)
}

pub(super) fn same_file(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Cuts off the half line that a crash has left after the last whole one.
pub(super) fn cut_half<'a>(
    file: &File,
    path: &Path,
    start: u64,
    bytes: &'a [u8],
) -> Result<&'a [u8], LedgerError> {
    let whole = whole_lines(bytes);
    let half = bytes.len() - whole.len();
    if half > 0 {
        file.set_len(start + whole.len() as u64)
            .and_then(|()| file.sync_all())
            .map_err(io(path))?;
        tracing::warn!(
            path = %path.display(),
            bytes = half,
            "half a line at the end of the erasure ledger was cut off"
        );
    }
    Ok(whole)
}

/// The parent of a bare file name is the empty path.
fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
