//! Gives queued entries their numbers: one replica, in batches, a checkpoint
//! each. What others queue meanwhile waits for nobody.

use std::{sync::atomic::Ordering, time::Duration};

use audit_log::{Head, Tree, record_hash, tree::edge};
use jiff::{SignedDuration, Timestamp};
use mesh::shutdown::Shutdown;
use opentelemetry::global;

use super::claim::Claim;
use crate::{
    app::App,
    error::Error,
    store::{Batch, Checkpoint},
};

const EVERY: Duration = Duration::from_secs(1);
/// Entries of a batch: a commit that others do not feel.
const TOGETHER: u64 = 1_000;
/// After which another replica takes over from one that is gone.
const TERM: Duration = Duration::from_secs(10);
const RETAIN_EVERY: SignedDuration = SignedDuration::from_hours(1);

impl App {
    /// Until shutdown.
    pub(crate) async fn keep_log(self, shutdown: Shutdown) {
        let mut claim = Claim::new(&self.parts.log.numbering, TERM);
        let mut retain_at = None;
        let mut failing = false;
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.take_turn(&mut claim, &mut retain_at).await {
                Ok(()) => failing = false,
                // Another was faster: nothing is lost.
                Err(Error::Overtaken) => claim.doubt(),
                Err(error) => {
                    claim.doubt();
                    let meter = global::meter("access");
                    let failures = meter.u64_counter("audit.sequence.failures").build();
                    failures.add(1, &[]);
                    if !failing {
                        tracing::error!(%error, "audit entries wait for their numbers");
                    }
                    failing = true;
                }
            }
        }
    }

    /// What is left when all calls have ended.
    pub(crate) async fn close_log(&self) {
        if self.parts.restored.load(Ordering::Acquire) {
            return;
        }
        let log = &self.parts.log;
        let closed = async {
            if log.numbering.acquire(self.parts.clock.now(), TERM).await? {
                self.number_all().await?;
                log.numbering.release().await?;
            }
            self.tell_outside_at_the_end().await
        };
        if let Err(error) = closed.await {
            tracing::info!(%error, "audit entries wait for the next start");
        }
    }

    async fn take_turn(
        &self,
        claim: &mut Claim<'_>,
        retain_at: &mut Option<Timestamp>,
    ) -> Result<(), Error> {
        if self.parts.restored.load(Ordering::Acquire) {
            return Ok(());
        }
        let now = self.parts.clock.now();
        let retain = retain_at.is_none_or(|at| now >= at);
        let wanted = retain || self.parts.store.has_queued_entries().await?;
        if !wanted || !claim.holds(now).await? {
            return Ok(());
        }
        self.number_all().await?;
        if retain {
            self.retain(now).await?;
            *retain_at = Some(now + RETAIN_EVERY);
            self.number_all().await?;
        }
        Ok(())
    }

    async fn number_all(&self) -> Result<(), Error> {
        while self.number_batch().await? {}
        Ok(())
    }

    /// False when nothing was queued.
    async fn number_batch(&self) -> Result<bool, Error> {
        let store = &self.parts.store;
        let queue = store.queued_entries(TOGETHER).await?;
        if !queue.forged.is_empty() {
            if !store.holds_entry_key().await? {
                return Err(Error::EmptyStore);
            }
            tracing::error!(entries = ?queue.forged, "no service wrote these audit entries");
            let meter = global::meter("access");
            let forged = meter.u64_counter("audit.entries.forged").build();
            forged.add(queue.forged.len() as u64, &[]);
            store.set_aside(queue.forged).await?;
        }
        if queue.entries.is_empty() {
            return Ok(false);
        }
        let mut tree = self.tree().await?;
        let first = tree.size();
        let mut entries = Vec::with_capacity(queue.entries.len());
        for (id, payload) in queue.entries {
            tree.push(record_hash(&payload));
            entries.push(id);
        }
        let root = tree.root().map_err(|_| Error::BrokenLog)?;
        let size = tree.size();
        let note = self.parts.log.key.sign(Head { size, root });
        store
            .commit_batch(Batch {
                first,
                entries,
                tiles: tree.take_changed(),
                checkpoint: Checkpoint {
                    size,
                    at: self.parts.clock.now(),
                    note: note.map_err(|_| Error::BrokenLog)?,
                },
            })
            .await?;
        Ok(true)
    }

    /// The tree to go on from: nothing is added to one that is not what its
    /// checkpoint signs.
    async fn tree(&self) -> Result<Tree, Error> {
        let store = &self.parts.store;
        let Some(newest) = store.newest_checkpoint().await? else {
            return Ok(Tree::default());
        };
        let head = self.parts.log.verifier.open(&newest.note);
        let head = head.map_err(|_| Error::BrokenLog)?;
        let tiles = store.tiles(edge(head.size)).await?;
        let tree = Tree::resume(head.size, tiles).map_err(|_| Error::BrokenLog)?;
        let root = tree.root().map_err(|_| Error::BrokenLog)?;
        if root != head.root || newest.size != head.size {
            return Err(Error::BrokenLog);
        }
        Ok(tree)
    }
}
