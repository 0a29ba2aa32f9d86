//! Commands without an outcome, and since when this process knows them: the wall
//! clock may step, and then one that is under way is not lost.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

#[derive(Default)]
pub(crate) struct Pending(Mutex<HashMap<Uuid, Instant>>);

impl Pending {
    /// For how long this one was there by now; it is there.
    pub(super) fn seen_for(&self, id: Uuid, now: Instant) -> Duration {
        let since = *self.seen().entry(id).or_insert(now);
        now.saturating_duration_since(since)
    }

    /// Those of the commands there now that were there so long ago already.
    pub(super) fn for_longer_than(
        &self,
        least: Duration,
        there: Vec<Uuid>,
        now: Instant,
    ) -> Vec<Uuid> {
        let mut seen = self.seen();
        *seen = there
            .into_iter()
            .map(|id| (id, seen.get(&id).copied().unwrap_or(now)))
            .collect();
        seen.iter()
            .filter(|(_, since)| now.saturating_duration_since(**since) >= least)
            .map(|(id, _)| *id)
            .collect()
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<Uuid, Instant>> {
        // A panic elsewhere cannot leave the map half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_lost_once_it_was_there_for_long() {
        let pending = Pending::default();
        let start = Instant::now();
        let at = |seconds: u64, there: &[u128]| {
            let there = there.iter().copied().map(Uuid::from_u128).collect();
            let now = start + Duration::from_secs(seconds);
            let lost = pending.for_longer_than(Duration::from_secs(30), there, now);
            lost.iter().map(Uuid::as_u128).collect::<Vec<_>>()
        };
        assert!(at(0, &[1]).is_empty());
        assert!(at(29, &[1, 2]).is_empty());
        assert_eq!(at(30, &[1, 2]), [1]);
        // What has its outcome is forgotten.
        assert!(at(35, &[2]).is_empty());
        assert_eq!(at(59, &[1, 2]), [2]);
    }

    #[test]
    fn who_asks_for_one_and_who_looks_at_all_count_from_the_same_time() {
        let pending = Pending::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let ids = [1, 2].map(Uuid::from_u128);
        assert_eq!(pending.seen_for(ids[0], start), Duration::ZERO);
        let looked = |at, there: &[Uuid]| {
            pending.for_longer_than(Duration::from_secs(30), there.to_vec(), after(at))
        };
        assert!(looked(5, &ids).is_empty());
        assert_eq!(pending.seen_for(ids[0], after(7)), Duration::from_secs(7));
        assert_eq!(pending.seen_for(ids[1], after(7)), Duration::from_secs(2));
        assert_eq!(looked(30, &ids), [ids[0]]);
        // What has its outcome is forgotten.
        assert!(looked(35, &ids[1..]).contains(&ids[1]));
        assert_eq!(pending.seen_for(ids[0], after(40)), Duration::ZERO);
    }
}
