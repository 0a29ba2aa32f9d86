//! The beginning of a ledger: its first line, and whose it must be.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use super::{
    LedgerError,
    file::io,
    line::{self, Header},
    text::entries_in,
};
use crate::custody::{Identity, Signer};

/// Writes the first line, unless a copy knows that there was one.
pub(super) fn begin(
    file: &mut File,
    path: &Path,
    copies: &[PathBuf],
    identity: &Identity,
    signer: &Signer,
) -> Result<(), LedgerError> {
    for copy in copies {
        let bytes = match std::fs::read(copy) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(io(copy))?,
        };
        if bytes.contains(&b'\n') {
            return Err(LedgerError::Short {
                path: path.to_owned(),
                found: 0,
                known: entries_in(&bytes),
                known_by: copy.display().to_string(),
            });
        }
    }
    let text = line::write_header(identity, signer).map_err(|_| LedgerError::Unsigned {
        path: path.to_owned(),
    })?;
    file.set_len(0)
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(io(path))?;
    tracing::info!(path = %path.display(), "erasure ledger begun");
    Ok(())
}

pub(super) fn belongs(
    path: &Path,
    header: &Header,
    identity: &Identity,
) -> Result<(), LedgerError> {
    let found = Identity {
        service: header.service.clone(),
        deployment: header.deployment.clone(),
        region: header.region.clone(),
    };
    if found == *identity {
        return Ok(());
    }
    Err(LedgerError::OfAnother {
        path: path.to_owned(),
        found: found.to_string(),
        wanted: identity.to_string(),
    })
}
