//! Pictures for shells: JSON arrays of numbers, fresh each time.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use devmesh::{
    Error,
    estate::{Estate, probe},
};

use crate::run::{ENV_FILE, ESTATE_FILE, RUN};

/// Where the pictures of a running mesh lie.
pub(crate) struct Files {
    pub(crate) face: PathBuf,
    pub(crate) unknown: PathBuf,
    pub(crate) unpaid: PathBuf,
}

impl Files {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            face: folder.join("face.json"),
            unknown: folder.join("face-unknown.json"),
            unpaid: folder.join("face-unpaid.json"),
        }
    }
}

pub(crate) fn write(path: &Path, identity: u64) -> Result<(), Error> {
    let text = serde_json::to_string(&probe(identity))
        .map_err(|error| Error::Unexpected(error.to_string()))?;
    write_whole(path, text.as_bytes())
}

/// Replaces `FACE_FILE` with another picture of the same resident.
pub(crate) fn write_fresh(folder: &Path) -> Result<(), Error> {
    if !folder.join(ENV_FILE).is_file() {
        return Err(Error::Unexpected(
            "no mesh is running; start one with make run".into(),
        ));
    }
    let path = folder.join(RUN).join(ESTATE_FILE);
    let text = fs::read_to_string(&path).map_err(|source| Error::File {
        path: path.clone(),
        source,
    })?;
    let estate: Estate = serde_json::from_str(&text)
        .map_err(|error| Error::Unexpected(format!("{}: {error}", path.display())))?;
    write(&Files::of(folder).face, estate.resident.identity)
}

/// Readers see the old file or the new one, never half of one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let draft = path.with_extension("draft");
    let attempt = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(bytes)?;
        fs::rename(&draft, path)
    };
    attempt().map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}
