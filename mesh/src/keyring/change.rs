//! Adding and retiring epochs, and following what others change.

use std::{sync::atomic::Ordering, time::Duration};

use jiff::Timestamp;
use opentelemetry::{KeyValue, global};
use tokio::{
    task,
    time::{MissedTickBehavior, interval},
};

use super::{Inner, Keyring, KeyringError, format::Stored};
use crate::shutdown::Shutdown;

const POLL: Duration = Duration::from_secs(1);

impl Keyring {
    /// Makes a new current epoch, in the file and then in memory; its id.
    pub async fn add_epoch(&self, now: Timestamp) -> Result<i64, KeyringError> {
        let source = &self.inner.source;
        if !source.managed {
            let next = self.current().id + 1;
            return Err(self.not_managed(format!(
                "to add an epoch, add one with id {next}, created_at, and two new random keys of \
                 32 bytes in base64 (kek and lookup, or as Transit wraps them) to its epochs"
            )));
        }
        let _one = self.inner.changing.lock().await;
        source.begin_epoch().await?;
        let keys = source.new_keys().await?;
        let file = source.file.clone();
        let locked = off_thread(move || file.lock()).await?;
        let mut contents = locked.read()?;
        let id = contents.newest() + 1;
        contents.epochs.push(Stored {
            id,
            created_at: now,
            keys,
        });
        source.wrap_plain(&mut contents).await?;
        off_thread(move || locked.replace(&contents.epochs)).await?;
        self.reload().await?;
        Ok(id)
    }

    /// Destroys an older epoch's keys, in the file and in memory; with Transit,
    /// in every copy of the file too. Done again for one that is gone, it
    /// finishes what was interrupted.
    pub async fn retire_epoch(&self, id: i64) -> Result<(), KeyringError> {
        let source = &self.inner.source;
        if !source.managed {
            return Err(self.not_managed(format!(
                "to retire epoch {id}, remove it from its epochs, and from every copy of the file"
            )));
        }
        let one = self.inner.changing.lock().await;
        let file = source.file.clone();
        let locked = off_thread(move || file.lock()).await?;
        let mut contents = locked.read()?;
        if id == contents.newest() {
            return Err(KeyringError::Current(id));
        }
        if let Some(at) = contents.epochs.iter().position(|epoch| epoch.id == id) {
            let retired = contents.epochs.remove(at);
            source.outlive(&retired, &mut contents).await?;
            self.inner.unsettled.store(true, Ordering::Release);
            off_thread(move || locked.replace(&contents.epochs)).await?;
        }
        self.reload().await?;
        drop(one);
        self.settle().await
    }

    /// Finishes what retired epochs leave to do at Transit: the versions of its
    /// key that wrapped them alone are destroyed. To be called before it is
    /// told that an epoch has ended; does nothing without Transit.
    pub async fn settle(&self) -> Result<(), KeyringError> {
        let Inner {
            source, unsettled, ..
        } = &*self.inner;
        if !source.managed {
            return Ok(());
        }
        unsettled.store(true, Ordering::Release);
        source.destroy_unused_versions().await?;
        unsettled.store(false, Ordering::Release);
        Ok(())
    }

    /// Follows the file until shutdown. A broken new file keeps the old keys.
    pub async fn watch(self, shutdown: Shutdown) {
        let failures = global::meter("mesh")
            .u64_counter("mesh.keyring.reload.failures")
            .build();
        let mut tick = interval(POLL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.follow().await {
                Ok(changed) => {
                    told = false;
                    if changed {
                        tracing::info!(epochs = ?self.epochs(), "keyring read again");
                    }
                }
                Err(error) => {
                    failures.add(1, &[KeyValue::new("error.type", "reload")]);
                    if !told {
                        tracing::warn!(%error, "keyring not read again; the old keys stay");
                        told = true;
                    }
                }
            }
        }
    }

    async fn follow(&self) -> Result<bool, KeyringError> {
        let changed = self.reload().await?;
        if self.inner.unsettled.load(Ordering::Acquire) {
            self.settle().await?;
        }
        Ok(changed)
    }

    fn not_managed(&self, action: String) -> KeyringError {
        KeyringError::NotManaged {
            path: self.inner.source.file.path().into(),
            action,
        }
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, KeyringError> {
    task::spawn_blocking(work)
        .await
        .unwrap_or(Err(KeyringError::Task))
}
