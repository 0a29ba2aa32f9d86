//! Commands without an outcome, and since when this process knows them: the wall
//! clock may step, and then one that is under way is not lost.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

/// Outcomes that wait here for a database that does not take them.
const MOST_KEPT: usize = 4_096;

#[derive(Default)]
pub(crate) struct Pending(Mutex<Known>);

#[derive(Default)]
struct Known {
    since: HashMap<Uuid, Instant>,
    /// Those whose outcome is known here and has yet to be stored.
    kept: HashSet<Uuid>,
}

impl Pending {
    /// Whether this one, which is there, may have its outcome yet: it was there
    /// for less than so long, or it is kept.
    pub(super) fn may_end(&self, id: Uuid, most: Duration, now: Instant) -> bool {
        let mut known = self.known();
        let since = *known.since.entry(id).or_insert(now);
        known.kept.contains(&id) || now.saturating_duration_since(since) < most
    }

    /// Those of the commands there now that were there so long ago already, and
    /// are not kept.
    pub(super) fn for_longer_than(
        &self,
        least: Duration,
        there: Vec<Uuid>,
        now: Instant,
    ) -> Vec<Uuid> {
        let mut known = self.known();
        known.since = there
            .into_iter()
            .map(|id| (id, known.since.get(&id).copied().unwrap_or(now)))
            .collect();
        let lost = known.since.iter().filter(|(id, since)| {
            now.saturating_duration_since(**since) >= least && !known.kept.contains(*id)
        });
        lost.map(|(id, _)| *id).collect()
    }

    /// Forgets since when each was there.
    pub(super) fn begin_anew(&self) {
        self.known().since.clear();
    }

    /// Its outcome is known here; false where too many are.
    pub(super) fn keep(&self, id: Uuid) -> bool {
        let mut known = self.known();
        known.kept.len() < MOST_KEPT && known.kept.insert(id)
    }

    pub(super) fn let_go(&self, id: Uuid) {
        self.known().kept.remove(&id);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere cannot leave it half-changed.
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
        let may_end = |id, at| pending.may_end(id, Duration::from_secs(7), after(at));
        let lost = |at, there: &[Uuid]| {
            pending.for_longer_than(Duration::from_secs(30), there.to_vec(), after(at))
        };
        assert!(may_end(ids[0], 0));
        assert!(lost(5, &ids).is_empty());
        assert!(may_end(ids[0], 6) && !may_end(ids[0], 7));
        assert!(may_end(ids[1], 11) && !may_end(ids[1], 12));
        assert_eq!(lost(30, &ids), [ids[0]]);
        assert_eq!(lost(35, &ids[1..]), [ids[1]]);
        // What was not among all has its outcome, and is forgotten.
        assert!(may_end(ids[0], 40));
        pending.begin_anew();
        assert!(lost(41, &ids).is_empty());
    }

    #[test]
    fn what_is_kept_is_not_lost() {
        let pending = Pending::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        let id = Uuid::from_u128(1);
        let least = Duration::from_secs(30);
        assert!(pending.keep(id));
        for now in [start, later] {
            assert!(pending.for_longer_than(least, vec![id], now).is_empty());
            assert!(pending.may_end(id, least, now));
        }
        pending.let_go(id);
        assert!(!pending.may_end(id, least, later));
        assert_eq!(pending.for_longer_than(least, vec![id], later), [id]);
    }

    #[test]
    fn so_many_are_kept() {
        let pending = Pending::default();
        for number in 0..MOST_KEPT as u128 {
            assert!(pending.keep(Uuid::from_u128(number)));
        }
        assert!(!pending.keep(Uuid::max()));
        pending.let_go(Uuid::nil());
        assert!(pending.keep(Uuid::max()));
    }
}
