//! A backup being written: a draft that becomes a backup when it is whole.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256};
use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncWriteExt, BufWriter},
};

use super::{
    BackupError, Blob, Cell,
    format::{Header, RowToWrite, Trailer, Whole, mac},
};
use crate::{crypto::Key, custody::CustodyError, fault};

const BUFFER: usize = 256 * 1024;

/// Written line by line; gone again when it is dropped before its end.
pub struct Draft {
    file: BufWriter<File>,
    path: Abandoned,
    target: PathBuf,
    header: Header,
    digest: Context,
    size: u64,
    rows: BTreeMap<String, u64>,
}

/// Removes the file when it is dropped.
struct Abandoned(Option<PathBuf>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Draft {
    pub(super) async fn start(folder: &Path, header: Header) -> Result<Self, CustodyError> {
        let name = format!(
            "{}-{}-{}.backup",
            header.service,
            header.created_at.strftime("%Y%m%dT%H%M%SZ"),
            header.id.simple()
        );
        let target = folder.join(name);
        let draft = target.with_extension("draft");
        fs::create_dir_all(folder)
            .await
            .map_err(BackupError::io(folder))?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .await
            .map_err(BackupError::io(&draft))?;
        let mut draft = Self {
            file: BufWriter::with_capacity(BUFFER, file),
            path: Abandoned(Some(draft)),
            target,
            header,
            digest: Context::new(&SHA256),
            size: 0,
            rows: BTreeMap::new(),
        };
        let line = serde_json::to_vec(&draft.header).map_err(|_| BackupError::Unwritable)?;
        draft.line(line, true).await?;
        Ok(draft)
    }

    pub(super) async fn row(
        &mut self,
        table: &'static str,
        cells: &[Cell],
    ) -> Result<(), CustodyError> {
        let row = RowToWrite { t: table, r: cells };
        let line = serde_json::to_vec(&row).map_err(|_| BackupError::Unwritable)?;
        self.line(line, true).await?;
        *self.rows.entry(table.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Seals it and gives it its name; from here on a crash leaves it whole.
    pub(super) async fn finish(mut self, key: &Key) -> Result<Whole, CustodyError> {
        let sha256 = self.digest.clone().finish().as_ref().to_vec();
        let trailer = Trailer {
            rows: self.rows.clone(),
            mac: Blob(mac(key, &sha256).to_vec()),
            sha256: Blob(sha256.clone()),
        };
        let line = serde_json::to_vec(&trailer).map_err(|_| BackupError::Unwritable)?;
        self.line(line, false).await?;
        let fault_of = BackupError::io(&self.target);
        self.file.flush().await.map_err(&fault_of)?;
        self.file.get_ref().sync_all().await.map_err(&fault_of)?;
        fault::point("backup.before_rename");
        if let Some(draft) = &self.path.0 {
            fs::rename(draft, &self.target).await.map_err(&fault_of)?;
        }
        self.path.0 = None;
        if let Some(folder) = self.target.parent() {
            let folder = File::open(folder).await.map_err(&fault_of)?;
            folder.sync_all().await.map_err(&fault_of)?;
        }
        Ok(Whole {
            rows: self.rows.values().sum(),
            header: self.header,
            path: self.target,
            size_bytes: self.size,
            sha256,
        })
    }

    async fn line(&mut self, mut line: Vec<u8>, digested: bool) -> Result<(), CustodyError> {
        line.push(b'\n');
        if digested {
            self.digest.update(&line);
        }
        self.size += line.len() as u64;
        self.file
            .write_all(&line)
            .await
            .map_err(BackupError::io(&self.target))?;
        Ok(())
    }
}
