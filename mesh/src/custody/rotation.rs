//! Moving the store to a new key epoch and destroying the old one's key. Where
//! a rotation stands is read from the keyring, the rows and the backups, never
//! remembered beside them: whatever interrupted it, the same pass goes on.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures::FutureExt;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use uuid::Uuid;

use super::{
    BackupError, Custody, CustodyError,
    act::KEYS_ROTATED,
    backup::{NAMED_KEYS, SEALED_SECRETS},
    exclusive::Hold,
};
use crate::{context::CallContext, db::is_postgres, fault};

/// Rows moved in one transaction.
const BATCH: u64 = 500;

/// Times that rows under an old epoch may turn up again.
const ROUNDS: usize = 10;

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    pub rewrapped: u64,
    /// The backup that needs no older epoch.
    pub backup: Option<Uuid>,
    /// Epochs whose keys were destroyed.
    pub destroyed: Vec<i64>,
    /// Older epochs that nothing needs, which an operator has yet to remove.
    pub stale: Vec<i64>,
}

impl Custody {
    /// A new epoch after the one named, and nothing left of older ones; where
    /// that has begun already, the rest of it. Goes on when the caller leaves.
    pub async fn rotate(&self, after_epoch: i64) -> Result<Rotation, CustodyError> {
        let (custody, call) = (self.clone(), CallContext::current());
        tokio::spawn(async move { custody.rotate_alone(Some(after_epoch), call).await })
            .await
            .map_err(|_| CustodyError::Task)?
    }

    /// The rest of a rotation that has begun.
    pub(super) async fn resume(&self) -> Result<Rotation, CustodyError> {
        self.rotate_alone(None, None).await
    }

    async fn rotate_alone(
        &self,
        after_epoch: Option<i64>,
        call: Option<CallContext>,
    ) -> Result<Rotation, CustodyError> {
        let hold = self.hold().await?;
        self.inner.rotating.store(true, Ordering::Release);
        let done = self.rotate_held(after_epoch, &hold).await;
        self.inner.rotating.store(false, Ordering::Release);
        hold.release().await;
        let done = done?;
        // A call again, or a look after keys, that found nothing to do is no act.
        if done.rewrapped > 0 || !done.destroyed.is_empty() {
            let epoch = self.current_epoch().to_string();
            self.tell(call, KEYS_ROTATED, epoch).await?;
        }
        Ok(done)
    }

    async fn rotate_held(
        &self,
        after_epoch: Option<i64>,
        hold: &Hold,
    ) -> Result<Rotation, CustodyError> {
        let keyring = &self.inner.keyring;
        if after_epoch.is_some_and(|after| after > keyring.current().id || after < 1) {
            return Err(CustodyError::InvalidField {
                field: "after_epoch",
                detail: "is no epoch that was ever current",
            });
        }
        let mut done = Rotation::default();
        if self.is_under_way().await? {
            done = self.pass(hold).await?;
        }
        if after_epoch == Some(keyring.current().id) {
            self.begin().await?;
            let rewrapped = done.rewrapped;
            done = self.pass(hold).await?;
            done.rewrapped += rewrapped;
        }
        self.conclude().await?;
        if done.backup.is_none() {
            let backup = self.backup_of(keyring.current().id).await?;
            done.backup = backup.map(|backup| backup.id);
        }
        Ok(done)
    }

    /// Whether anything is left of an older epoch.
    pub(super) async fn is_under_way(&self) -> Result<bool, CustodyError> {
        Ok(self.inner.keyring.epochs().len() > 1 || !self.older_references().await?.is_empty())
    }

    /// A new current epoch.
    pub(super) async fn begin(&self) -> Result<(), CustodyError> {
        let now = self.inner.clock.now();
        let epoch = self.inner.keyring.add_epoch(now).await?;
        tracing::info!(epoch, "a key epoch has begun");
        fault::point("rotation.after_add_epoch");
        Ok(())
    }

    async fn pass(&self, hold: &Hold) -> Result<Rotation, CustodyError> {
        let (mut done, started) = (Rotation::default(), Instant::now());
        for _ in 0..ROUNDS {
            let moved = self.rewrap_all(hold).await?;
            done.rewrapped += moved;
            fault::point("rotation.after_rewrap");
            self.wait_for_writers(started).await;
            let left = self.older_references().await?;
            if !left.is_empty() {
                if moved == 0 {
                    return Err(stuck(left));
                }
                continue;
            }
            done.backup = self.secure(hold).await?;
            // A replica that has not seen the new epoch may have written.
            if self.older_references().await?.is_empty() {
                (done.destroyed, done.stale) = self.retire(hold).await?;
                return Ok(done);
            }
        }
        Err(stuck(self.older_references().await?))
    }

    /// Moves rows until there is none that can be moved.
    pub(super) async fn rewrap_all(&self, hold: &Hold) -> Result<u64, CustodyError> {
        let mut moved = 0;
        loop {
            hold.check()?;
            let batch = self.rewrap_own().await? + self.inner.custodian.rewrap(BATCH).await?;
            if batch == 0 {
                return Ok(moved);
            }
            moved += batch;
            fault::point("rotation.between_batches");
            tokio::task::yield_now().await;
        }
    }

    async fn rewrap_own(&self) -> Result<u64, CustodyError> {
        let keyring = self.inner.keyring.clone();
        self.inner
            .db
            .writer
            .write(move |txn| {
                async move {
                    let named = NAMED_KEYS.rewrap(txn, &keyring, BATCH).await?;
                    let secrets = SEALED_SECRETS.rewrap(txn, &keyring, BATCH).await?;
                    Ok::<u64, CustodyError>(named + secrets)
                }
                .boxed()
            })
            .await
    }

    /// A key that was taken before the new epoch may be on its way to a row:
    /// calls under way end, and other replicas read the keyring again.
    async fn wait_for_writers(&self, started: Instant) {
        if self.inner.keyring.is_managed() {
            let rest = self.inner.settle.saturating_sub(started.elapsed());
            tokio::time::sleep(rest).await;
        }
    }

    /// A verified backup that needs no older epoch, in place of those that do;
    /// without backups, every key tried.
    pub(super) async fn secure(&self, hold: &Hold) -> Result<Option<Uuid>, CustodyError> {
        if self.inner.backup.folder.is_none() {
            let unopened = self.verify().await?;
            if unopened > 0 {
                return Err(CustodyError::Unopened(unopened));
            }
            return Ok(None);
        }
        let current = self.inner.keyring.current().id;
        let backup = match self.backup_of(current).await? {
            Some(backup) => backup,
            None => self.take_backup().await?,
        };
        fault::point("rotation.after_backup");
        if backup.epoch < current {
            return Err(BackupError::EpochBegan.into());
        }
        hold.check()?;
        let dropped = self.drop_backups_before(current).await?;
        if dropped > 0 {
            tracing::info!(dropped, "backups of older epochs were deleted");
        }
        fault::point("rotation.after_drop");
        Ok(Some(backup.id))
    }

    /// Destroys the older epochs' keys, or says which an operator can remove.
    pub(super) async fn retire(&self, hold: &Hold) -> Result<(Vec<i64>, Vec<i64>), CustodyError> {
        let keyring = &self.inner.keyring;
        let current = keyring.current().id;
        let older: Vec<i64> = keyring
            .epochs()
            .into_iter()
            .filter(|epoch| *epoch < current)
            .collect();
        if !keyring.is_managed() {
            return Ok((Vec::new(), older));
        }
        for epoch in &older {
            hold.check()?;
            keyring.retire_epoch(*epoch).await?;
            tracing::info!(epoch, "a key epoch has ended");
            fault::point("rotation.after_retire");
        }
        Ok((older, Vec::new()))
    }

    /// Tells the store which epochs have ended, once a start and whenever
    /// there are more.
    pub(super) async fn conclude(&self) -> Result<(), CustodyError> {
        let inner = &self.inner;
        let oldest = inner.keyring.epochs().first().copied().unwrap_or_default();
        let ended = oldest - 1;
        if ended < 1 || inner.ended.load(Ordering::Acquire) >= ended {
            return Ok(());
        }
        inner.keyring.settle().await?;
        inner
            .custodian
            .epoch_ended(ended, inner.clock.now())
            .await?;
        self.compact().await?;
        inner.ended.fetch_max(ended, Ordering::AcqRel);
        fault::point("rotation.after_epoch_ended");
        Ok(())
    }

    /// Leaves no dead row behind in SQLite's files; for an erasure too.
    pub async fn compact(&self) -> Result<bool, CustodyError> {
        let db = &self.inner.db.read;
        if is_postgres(db) {
            return Ok(false);
        }
        db.execute_unprepared("PRAGMA incremental_vacuum").await?;
        let truncate = Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
        let row = db.query_one_raw(truncate).await?;
        let busy: i32 = match row {
            Some(row) => row.try_get_by_index(0)?,
            None => 0,
        };
        if busy != 0 {
            tracing::info!("the write-ahead log is in use and was not truncated");
        }
        Ok(busy == 0)
    }

    /// Rows under epochs before the current one.
    async fn older_references(&self) -> Result<BTreeMap<i64, u64>, CustodyError> {
        let current = self.inner.keyring.current().id;
        let mut references = self.references().await?;
        references.retain(|epoch, rows| *epoch < current && *rows > 0);
        Ok(references)
    }
}

/// How long a call that writes may have held on to a key.
pub(super) const SETTLE: Duration = Duration::from_secs(6);

fn stuck(left: BTreeMap<i64, u64>) -> CustodyError {
    CustodyError::Stuck {
        rows: left.values().sum(),
        epochs: left.into_keys().collect(),
    }
}
