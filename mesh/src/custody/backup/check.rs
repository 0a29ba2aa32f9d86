//! What a backup must be before anything is done with it.

use std::{collections::BTreeMap, path::Path};

use super::{
    BackupError, RowKey, Table,
    format::{MAC_KEY, Whole},
    read::Reader,
};
use crate::{
    crypto::Key,
    custody::{Custody, CustodyError, Identity, wrapped::opens},
    keyring::{Keyring, KeyringError},
};

/// Rows read between two chances for others to run.
const STRIDE: u64 = 256;

/// What it is held against.
pub(super) struct Expected {
    pub(super) identity: Identity,
    pub(super) keyring: Keyring,
    pub(super) tables: Vec<Box<dyn Table>>,
}

/// A backup whose header is as expected; its rows are yet to be read.
pub(super) struct Opened<'a> {
    pub(super) reader: Reader,
    pub(super) key: Key,
    pub(super) tables: Tables<'a>,
}

/// By its name: the table, and the columns that the backup has of it.
pub(super) type Tables<'a> = BTreeMap<String, (&'a dyn Table, Vec<String>)>;

impl Custody {
    pub(super) fn expected(&self) -> Expected {
        Expected {
            identity: self.inner.identity.clone(),
            keyring: self.inner.keyring.clone(),
            tables: self.tables(),
        }
    }
}

impl Expected {
    pub(super) async fn open(&self, path: &Path) -> Result<Opened<'_>, CustodyError> {
        let reader = Reader::open(path).await?;
        let header = &reader.header;
        let found = header.identity();
        if found != self.identity {
            return Err(BackupError::OfAnother {
                path: path.to_owned(),
                found: found.to_string(),
                wanted: self.identity.to_string(),
            }
            .into());
        }
        let missing = |epoch| BackupError::MissingEpoch {
            path: path.to_owned(),
            epoch,
        };
        for epoch in &header.epochs {
            self.epoch(*epoch).map_err(|_| missing(*epoch))?;
        }
        let key = match self
            .keyring
            .unwrap(&header.mac_key.wrapped(), MAC_KEY.as_bytes())
        {
            Ok(key) => key,
            Err(KeyringError::MissingEpoch(epoch)) => return Err(missing(epoch).into()),
            Err(KeyringError::Crypto(_)) => {
                return Err(reader.damaged("has a key that does not open").into());
            }
            Err(error) => return Err(error.into()),
        };
        let mut tables = BTreeMap::new();
        for entry in &header.tables {
            let Some(table) = self.tables.iter().find(|t| t.name() == entry.table) else {
                return Err(BackupError::Newer {
                    path: path.to_owned(),
                    unknown: format!("the table {}", entry.table),
                }
                .into());
            };
            tables.insert(entry.table.clone(), (&**table, entry.columns.clone()));
        }
        Ok(Opened {
            reader,
            key,
            tables,
        })
    }

    fn epoch(&self, id: i64) -> Result<(), KeyringError> {
        self.keyring.epoch(id).map(|_| ())
    }

    /// Reads it whole and opens every key in it.
    pub(super) async fn verify(&self, path: &Path) -> Result<Whole, CustodyError> {
        let Opened {
            mut reader,
            key,
            tables,
        } = self.open(path).await?;
        let (mut seen, mut unopened) = (0, 0);
        while let Some(row) = reader.next().await? {
            let Some((table, columns)) = tables.get(&row.t) else {
                return Err(reader.damaged("is of a table the header lacks").into());
            };
            let good = match table.key(columns, &row.r) {
                RowKey::Absent => true,
                RowKey::Malformed => false,
                RowKey::Wrapped(wrapped, bound_to) => {
                    if !reader.header.epochs.contains(&wrapped.epoch) {
                        return Err(reader.damaged("is of an epoch the header lacks").into());
                    }
                    opens(&self.keyring, &wrapped, &bound_to)?
                }
            };
            unopened += u64::from(!good);
            seen += 1;
            if seen % STRIDE == 0 {
                tokio::task::yield_now().await;
            }
        }
        let whole = reader.finish(&key).await?;
        if unopened > 0 {
            return Err(BackupError::Unopened {
                path: path.to_owned(),
                rows: unopened,
            }
            .into());
        }
        Ok(whole)
    }
}
