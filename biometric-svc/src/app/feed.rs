//! Following the other replicas: what they changed is read again, and a replica
//! that cannot read refuses to recognise anybody.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use mesh::{clock::to_micros, shutdown::Shutdown};

use super::App;
use crate::{error::Error, store::Replica};

/// How often the feed is read.
const PERIOD: Duration = Duration::from_millis(250);
/// A replica that has not read it for so long refuses to identify, so that
/// nobody has to wait longer for it.
const STALE: Duration = Duration::from_secs(5);
/// Past that, one that does not move is taken for dead.
const DEAD: Duration = Duration::from_secs(6);
/// How long changes are kept for replicas that were away.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Readings between two clean-ups: about an hour.
const CLEAN_UP: i64 = 4 * 3_600;

#[derive(Default)]
pub(super) struct Feed(Mutex<Option<Position>>);

#[derive(Clone, Copy)]
struct Position {
    applied: i64,
    read: Instant,
}

impl Feed {
    /// From here on the index is what the store was at that change, which the
    /// store was asked for at that moment: an answer may be slow.
    pub(super) fn begin(&self, applied: i64, asked: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Position {
            applied,
            read: asked,
        });
    }

    fn position(&self) -> Option<Position> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody may be recognised.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_at(Instant::now())
    }

    fn check_at(&self, now: Instant) -> Result<(), Error> {
        match self.position() {
            None => Err(Error::NotReady),
            Some(position) if now.duration_since(position.read) > STALE => Err(Error::Stale),
            Some(_) => Ok(()),
        }
    }
}

impl App {
    /// Until shutdown.
    pub(crate) async fn follow(self, shutdown: Shutdown) {
        let mut beat = 0;
        let mut told = None;
        while !shutdown.is_cancelled() {
            if let Err(error) = self.read_feed().await {
                tracing::warn!(%error, "the feed of changes cannot be read");
            } else if let Err(error) = self.tell(beat, &mut told).await {
                tracing::warn!(%error, "the other replicas cannot be told");
            }
            beat += 1;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        if self.parts().store.is_shared() {
            let _ = self.parts().store.forget_replica(None).await;
        }
    }

    pub(crate) async fn read_feed(&self) -> Result<(), Error> {
        let store = &self.parts().store;
        let Some(position) = self.0.feed.position() else {
            return Ok(());
        };
        let mut applied = position.applied;
        if store.has_forgotten_after(applied).await? {
            tracing::warn!("away for too long: the index is loaded anew");
            return self.load().await;
        }
        let asked = loop {
            let asked = Instant::now();
            let changes = store.changes_after(applied).await?;
            let Some(last) = changes.last().map(|change| change.number) else {
                break asked;
            };
            for change in changes.iter().filter(|change| !change.own) {
                self.read_again(change.subject).await?;
            }
            applied = last;
        };
        self.0.feed.begin(applied, asked);
        Ok(())
    }

    /// As the store has the subject now.
    pub(super) async fn read_again(&self, subject: uuid::Uuid) -> Result<(), Error> {
        let _lock = self.lock(subject).await;
        let matcher = &self.parts().matcher;
        let (mut kept, mut corrupt) = (Vec::new(), Vec::new());
        if let Some(stored) = self.parts().store.subject(subject).await? {
            corrupt = stored.corrupt;
            for template in &stored.templates {
                if self.take_in(subject, &stored.galleries, template) {
                    kept.push(template.id);
                } else {
                    corrupt.push(template.id);
                }
            }
            matcher.set_galleries(subject, &stored.galleries);
        }
        matcher.retain(subject, &kept);
        if !corrupt.is_empty() {
            tracing::error!(rows = corrupt.len(), "rows that do not open are left out");
        }
        self.0.corrupt.set_of(subject, &corrupt);
        Ok(())
    }

    async fn tell(&self, beat: i64, told: &mut Option<(i64, i64)>) -> Result<(), Error> {
        let store = &self.parts().store;
        if beat % CLEAN_UP == CLEAN_UP - 1 {
            let before = self.parts().clock.now() - KEPT;
            store.forget_changes(to_micros(before)).await?;
        }
        let Some(position) = self.0.feed.position() else {
            return Ok(());
        };
        // Once a second, and at once when there is news.
        let due = told.is_none_or(|(applied, at)| applied != position.applied || beat - at >= 4);
        if store.is_shared() && due {
            store.tell_applied(position.applied, beat).await?;
            *told = Some((position.applied, beat));
        }
        Ok(())
    }

    /// Until every replica that lives has taken the change in. One that does
    /// not move any more cannot read the feed either, and refuses.
    pub(super) async fn wait_for_replicas(&self, change: i64) -> Result<(), Error> {
        let store = &self.parts().store;
        if !store.is_shared() {
            return Ok(());
        }
        let started = Instant::now();
        let mut first: HashMap<uuid::Uuid, Replica> = HashMap::new();
        loop {
            let mut waiting = false;
            for replica in store.other_replicas().await? {
                if replica.applied >= change {
                    continue;
                }
                let before = *first.entry(replica.id).or_insert(replica);
                if before.beat == replica.beat && started.elapsed() > DEAD {
                    store.forget_replica(Some(replica.id)).await?;
                    continue;
                }
                waiting = true;
            }
            if !waiting {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_recognised_before_the_first_reading_or_long_after_the_last() {
        let feed = Feed::default();
        let start = Instant::now();
        assert!(matches!(feed.check_at(start), Err(Error::NotReady)));
        feed.begin(7, start);
        assert!(feed.check_at(start + STALE).is_ok());
        let late = start + STALE + Duration::from_millis(1);
        assert!(matches!(feed.check_at(late), Err(Error::Stale)));
        feed.begin(7, late);
        assert!(feed.check_at(late).is_ok());
    }
}
