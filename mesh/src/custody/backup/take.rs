//! Taking a backup.

use std::{collections::BTreeSet, path::Path};

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait,
    IsolationLevel, QueryOrder, TransactionTrait,
};
use sea_orm_migration::seaql_migrations;
use uuid::Uuid;

use super::{
    Backup, BackupError,
    format::{Columns, FORMAT, Header, MAC_KEY, MacKey, VERSION, Whole},
    write::Draft,
};
use crate::{
    custody::{Custody, CustodyError},
    db::{is_postgres, named_key},
    fault,
};

impl Custody {
    /// Takes one, remembers it, reads it back. For the holder of the lease.
    pub(in crate::custody) async fn take_backup(&self) -> Result<Backup, CustodyError> {
        let whole = self.dump().await?;
        fault::point("backup.before_remembered");
        let path = whole.path.clone();
        let taken = self.remember(whole).await?;
        self.expected().verify(&path).await?;
        fault::point("backup.before_verified");
        let taken = self.mark_verified(taken).await?;
        tracing::info!(id = %taken.id, path = %taken.path.display(), "backup taken and verified");
        Ok(taken)
    }

    async fn dump(&self) -> Result<Whole, CustodyError> {
        let folder = self.backup_folder()?;
        // Before the snapshot: what the ledger names up to here is not in it.
        let ledger_number = match &self.inner.ledger {
            Some(ledger) => ledger.last_number().await?,
            None => 0,
        };
        // Before the snapshot: rows move to the current epoch and no other.
        let current = self.inner.keyring.current().id;
        let mut epochs: BTreeSet<i64> = self.references().await?.into_keys().collect();
        epochs.insert(current);
        let db = &self.inner.db.read;
        named_key::load_or_create(db, &self.inner.keyring, MAC_KEY).await?;

        let snapshot = snapshot(db).await?;
        let wrapped = named_key::wrapped(&snapshot, MAC_KEY)
            .await?
            .ok_or_else(|| DbErr::RecordNotFound(MAC_KEY.into()))?;
        let key = self.inner.keyring.unwrap(&wrapped, MAC_KEY.as_bytes())?;
        epochs.insert(wrapped.epoch);
        let identity = &self.inner.identity;
        let tables = self.tables();
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            id: Uuid::new_v4(),
            service: identity.service.clone(),
            deployment: identity.deployment.clone(),
            region: identity.region.clone(),
            epoch: current,
            epochs: epochs.into_iter().collect(),
            migrations: migrations(&snapshot).await?,
            created_at: self.inner.clock.now(),
            ledger_number,
            tables: tables
                .iter()
                .map(|table| Columns {
                    table: table.name().into(),
                    columns: table.columns().into_iter().map(str::to_owned).collect(),
                })
                .collect(),
            mac_key: MacKey::of(wrapped),
        };
        sweep(folder, &identity.service).await;
        let mut draft = Draft::start(folder, header).await?;
        for table in &tables {
            table.dump(&snapshot, &mut draft).await?;
        }
        snapshot.rollback().await?;
        if self.inner.keyring.current().id != current {
            return Err(BackupError::EpochBegan.into());
        }
        draft.finish(&key).await
    }
}

/// Removes the drafts that a crash has left: no other backup is being taken.
async fn sweep(folder: &Path, service: &str) {
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let own = name.starts_with(&format!("{service}-"));
        if own && name.ends_with(".draft") {
            let _ = tokio::fs::remove_file(entry.path()).await;
        }
    }
}

/// One view of the store until it ends, whatever is written meanwhile.
async fn snapshot(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    if is_postgres(db) {
        let isolation = Some(IsolationLevel::RepeatableRead);
        return db
            .begin_with_config(isolation, Some(AccessMode::ReadOnly))
            .await;
    }
    // SQLite's write-ahead log gives it from the first read on.
    db.begin().await
}

/// The schema's history, oldest first.
pub(super) async fn migrations(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let rows = seaql_migrations::Entity::find()
        .order_by_asc(seaql_migrations::Column::Version)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}
