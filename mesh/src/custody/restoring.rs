//! Backups taken and put back on request, and the erasures that a restored
//! store has yet to hear of.

use std::path::Path;

use futures::FutureExt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use super::{
    Backup, Custody, CustodyError,
    act::{BACKUP_CREATED, BACKUP_RESTORED},
    entity::store_identity,
    ledger::Entry,
    residency::ROW,
};
use crate::{context::CallContext, db::is_postgres};

impl Custody {
    /// Takes one while serving and reads it back. Goes on when the caller
    /// leaves.
    pub async fn create_backup(&self) -> Result<Backup, CustodyError> {
        self.backup_folder()?;
        let (custody, call) = (self.clone(), CallContext::current());
        tokio::spawn(async move {
            let hold = custody.hold().await?;
            let taken = custody.take_backup().await;
            hold.release().await;
            let backup = taken?;
            let id = backup.id.to_string();
            custody.tell(call, BACKUP_CREATED, id).await?;
            Ok::<Backup, CustodyError>(backup)
        })
        .await
        .map_err(|_| CustodyError::Task)?
    }

    /// Puts a file of the backup folder into this empty store, and has the
    /// service start over. One replica must be running, no more.
    pub async fn restore(&self, path: &Path) -> Result<Backup, CustodyError> {
        let path = self.file_in_folder(path).await?;
        let (custody, call) = (self.clone(), CallContext::current());
        tokio::spawn(async move {
            let hold = custody.hold().await?;
            let restored = custody.put_back(path).await;
            hold.release().await;
            let backup = restored?;
            let id = backup.id.to_string();
            // What is committed cannot be taken back: the service starts over.
            if let Err(error) = custody.tell(call, BACKUP_RESTORED, id).await {
                tracing::warn!(%error, "the audit log was not told of the restore");
            }
            (custody.inner.restart)();
            Ok::<Backup, CustodyError>(backup)
        })
        .await
        .map_err(|_| CustodyError::Task)?
    }

    /// After a restore, and until [`Custody::erasures_replayed`]: the erasures
    /// since the backup, for a service to do again before it serves.
    pub async fn erasures_to_replay(&self) -> Result<Vec<Entry>, CustodyError> {
        let row = store_identity::Entity::find_by_id(ROW)
            .one(&self.inner.db.read)
            .await?;
        let after = row.and_then(|row| row.replay_after);
        match (after, &self.inner.ledger) {
            (Some(after), Some(ledger)) => {
                let after = u64::try_from(after).unwrap_or(0);
                Ok(ledger.entries_after(after).await?)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether what is erased now is in no copy that this service made: then a
    /// receipt is final at once, else when the epoch has ended.
    pub async fn keeps_no_copies(&self) -> Result<bool, CustodyError> {
        let db = &self.inner.db.read;
        if is_postgres(db) {
            // Dead tuples, the write-ahead log and standbys are copies too.
            return Ok(false);
        }
        // Files of a store that this one was restored from, or one being written.
        if let Some(folder) = &self.inner.backup.folder {
            let files = std::fs::read_dir(folder);
            if files.is_ok_and(|mut files| files.next().is_some()) {
                return Ok(false);
            }
        }
        Ok(self.list_backups().await?.is_empty())
    }

    /// They are all done.
    pub async fn erasures_replayed(&self) -> Result<(), CustodyError> {
        self.inner
            .db
            .writer
            .write(move |txn| {
                async move {
                    store_identity::Entity::update_many()
                        .col_expr(
                            store_identity::Column::ReplayAfter,
                            Expr::val(Option::<i64>::None),
                        )
                        .filter(store_identity::Column::Id.eq(ROW))
                        .exec(txn)
                        .await?;
                    Ok::<(), CustodyError>(())
                }
                .boxed()
            })
            .await
    }
}
