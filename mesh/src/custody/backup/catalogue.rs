//! The backups that this service made and remembers.

use std::path::{Path, PathBuf};

use futures::FutureExt;
use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr,
};
use uuid::Uuid;

use super::{BackupError, format::Whole};
use crate::{
    clock::{from_micros, to_micros},
    custody::{Custody, CustodyError, entity::backup},
    fault,
};

/// A backup, as far as it is known without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub id: Uuid,
    /// The oldest epoch that it needs.
    pub epoch: i64,
    pub created_at: Timestamp,
    pub verified_at: Option<Timestamp>,
    pub path: PathBuf,
    pub size_bytes: u64,
    pub rows: u64,
    pub sha256: Vec<u8>,
}

impl Backup {
    pub(super) fn of(whole: &Whole, verified_at: Option<Timestamp>) -> Self {
        Self {
            id: whole.header.id,
            epoch: whole.header.oldest_epoch(),
            created_at: whole.header.created_at,
            verified_at,
            path: whole.path.clone(),
            size_bytes: whole.size_bytes,
            rows: whole.rows,
            sha256: whole.sha256.clone(),
        }
    }

    fn of_row(row: backup::Model) -> Self {
        Self {
            id: row.id,
            epoch: row.epoch,
            created_at: from_micros(row.created_at),
            verified_at: row.verified_at.map(from_micros),
            path: row.path.into(),
            size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
            rows: u64::try_from(row.rows).unwrap_or(0),
            sha256: row.sha256,
        }
    }
}

impl Custody {
    /// Newest first.
    pub async fn list_backups(&self) -> Result<Vec<Backup>, CustodyError> {
        let rows = backup::Entity::find()
            .order_by_desc(backup::Column::CreatedAt)
            .all(&self.inner.db.read)
            .await?;
        Ok(rows.into_iter().map(Backup::of_row).collect())
    }

    /// Reads one that is remembered.
    pub async fn verify_backup(&self, id: Uuid) -> Result<Backup, CustodyError> {
        let row = backup::Entity::find_by_id(id)
            .one(&self.inner.db.read)
            .await?
            .ok_or(BackupError::Unknown(id))?;
        let remembered = Backup::of_row(row);
        let whole = self.expected().verify(&remembered.path).await?;
        if whole.sha256 != remembered.sha256 {
            return Err(BackupError::Changed.into());
        }
        self.mark_verified(remembered).await
    }

    /// Reads a file of the backup folder.
    pub async fn verify_backup_file(&self, path: &Path) -> Result<Backup, CustodyError> {
        let path = self.file_in_folder(path).await?;
        let whole = self.expected().verify(&path).await?;
        let known = backup::Entity::find_by_id(whole.header.id)
            .one(&self.inner.db.read)
            .await?;
        let verified = Backup::of(&whole, Some(self.inner.clock.now()));
        match known {
            Some(row) if row.sha256 == verified.sha256 => self.mark_verified(verified).await,
            _ => Ok(verified),
        }
    }

    pub(super) async fn remember(&self, whole: Whole) -> Result<Backup, CustodyError> {
        let taken = Backup::of(&whole, None);
        let row = backup::ActiveModel {
            id: Set(taken.id),
            epoch: Set(taken.epoch),
            created_at: Set(to_micros(taken.created_at)),
            verified_at: Set(None),
            path: Set(taken.path.to_string_lossy().into_owned()),
            size_bytes: Set(i64::try_from(taken.size_bytes).unwrap_or(i64::MAX)),
            rows: Set(i64::try_from(taken.rows).unwrap_or(i64::MAX)),
            sha256: Set(taken.sha256.clone()),
        };
        self.inner
            .db
            .writer
            .write(move |txn| {
                async move {
                    backup::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await?;
                    Ok::<(), CustodyError>(())
                }
                .boxed()
            })
            .await?;
        Ok(taken)
    }

    pub(super) async fn mark_verified(&self, mut backup: Backup) -> Result<Backup, CustodyError> {
        let (id, now) = (backup.id, self.inner.clock.now());
        self.inner
            .db
            .writer
            .write(move |txn| {
                async move {
                    backup::Entity::update_many()
                        .col_expr(backup::Column::VerifiedAt, Expr::val(Some(to_micros(now))))
                        .filter(backup::Column::Id.eq(id))
                        .exec(txn)
                        .await?;
                    Ok::<(), CustodyError>(())
                }
                .boxed()
            })
            .await?;
        backup.verified_at = Some(now);
        Ok(backup)
    }

    /// Deletes the backups that need an epoch before that one.
    pub(in crate::custody) async fn drop_backups_before(
        &self,
        epoch: i64,
    ) -> Result<u64, CustodyError> {
        let old = backup::Entity::find()
            .filter(backup::Column::Epoch.lt(epoch))
            .all(&self.inner.db.read)
            .await?;
        let mut dropped = 0;
        for row in old {
            let path = PathBuf::from(&row.path);
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(BackupError::io(&path)(error).into());
                }
                _ => {}
            }
            fault::point("backup.before_forgotten");
            self.inner
                .db
                .writer
                .write(move |txn| {
                    async move {
                        backup::Entity::delete_by_id(row.id).exec(txn).await?;
                        Ok::<(), CustodyError>(())
                    }
                    .boxed()
                })
                .await?;
            dropped += 1;
        }
        Ok(dropped)
    }

    /// A verified backup, still in its place, that needs no older epoch.
    pub(in crate::custody) async fn backup_of(
        &self,
        epoch: i64,
    ) -> Result<Option<Backup>, CustodyError> {
        let rows = backup::Entity::find()
            .filter(backup::Column::Epoch.gte(epoch))
            .filter(backup::Column::VerifiedAt.is_not_null())
            .order_by_desc(backup::Column::CreatedAt)
            .all(&self.inner.db.read)
            .await?;
        Ok(rows
            .into_iter()
            .map(Backup::of_row)
            .find(|backup| backup.path.is_file()))
    }
}
