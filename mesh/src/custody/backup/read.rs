//! A backup being read: in one pass, with bounded memory, never trusted before
//! its last line.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
};

use super::{
    BackupError,
    format::{FORMAT, Header, ROW, Row, Trailer, VERSION, Whole, mac},
};
use crate::crypto::{Key, macs_equal};

const BUFFER: usize = 256 * 1024;

/// Longer lines are no rows of ours.
const LONGEST: u64 = 16 * 1024 * 1024;

pub(super) struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    digest: Context,
    size: u64,
    line: u64,
    rows: BTreeMap<String, u64>,
    trailer: Option<Trailer>,
    pub(super) header: Header,
}

impl Reader {
    pub(super) async fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).await.map_err(BackupError::io(path))?;
        let mut file = BufReader::with_capacity(BUFFER, file);
        let first = read_line(&mut file, path, 1).await?;
        let no_header = || damaged(path, 1, "is not the first one of a backup");
        let first = first.ok_or_else(no_header)?;
        let header: Header = serde_json::from_slice(&first).map_err(|_| no_header())?;
        if header.format != FORMAT || header.version != VERSION {
            return Err(damaged(
                path,
                1,
                "is of a format that this program does not know",
            ));
        }
        let mut digest = Context::new(&SHA256);
        digest.update(&first);
        Ok(Self {
            size: first.len() as u64,
            file,
            path: path.to_owned(),
            digest,
            line: 1,
            rows: BTreeMap::new(),
            trailer: None,
            header,
        })
    }

    /// The next row; none at the end, which [`Reader::finish`] judges.
    pub(super) async fn next(&mut self) -> Result<Option<Row>, BackupError> {
        let number = self.line + 1;
        let Some(line) = read_line(&mut self.file, &self.path, number).await? else {
            return Err(self.damaged("is missing: the end was cut off"));
        };
        self.size += line.len() as u64;
        self.line = number;
        if line.starts_with(ROW) {
            self.digest.update(&line);
            let row: Row = serde_json::from_slice(&line).map_err(|_| self.damaged("is no row"))?;
            *self.rows.entry(row.t.clone()).or_default() += 1;
            return Ok(Some(row));
        }
        let trailer = serde_json::from_slice(&line)
            .map_err(|_| self.damaged("is neither a row nor the end"))?;
        self.trailer = Some(trailer);
        Ok(None)
    }

    /// Whether all that was read is what was once written under this key.
    pub(super) async fn finish(mut self, key: &Key) -> Result<Whole, BackupError> {
        let Some(trailer) = self.trailer.take() else {
            return Err(self.damaged("is not the end"));
        };
        let after = read_line(&mut self.file, &self.path, self.line + 1).await?;
        if after.is_some() {
            return Err(self.damaged("is followed by more"));
        }
        let sha256 = self.digest.clone().finish().as_ref().to_vec();
        if sha256 != trailer.sha256.0 || self.rows != trailer.rows {
            return Err(self.damaged("does not match the lines before it"));
        }
        if !macs_equal(&mac(key, &sha256), &trailer.mac.0) {
            return Err(self.damaged("is not sealed by this deployment"));
        }
        Ok(Whole {
            rows: self.rows.values().sum(),
            header: self.header,
            path: self.path,
            size_bytes: self.size,
            sha256,
        })
    }

    /// About the line that was read last.
    pub(super) fn damaged(&self, detail: &'static str) -> BackupError {
        damaged(&self.path, self.line, detail)
    }
}

fn damaged(path: &Path, line: u64, detail: &'static str) -> BackupError {
    BackupError::Damaged {
        path: path.to_owned(),
        line,
        detail,
    }
}

/// A line with its end; none at the end of the file.
async fn read_line(
    file: &mut BufReader<File>,
    path: &Path,
    number: u64,
) -> Result<Option<Vec<u8>>, BackupError> {
    let mut line = Vec::new();
    file.take(LONGEST)
        .read_until(b'\n', &mut line)
        .await
        .map_err(BackupError::io(path))?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(damaged(path, number, "is cut off"));
    }
    Ok(Some(line))
}
