//! What may go wrong so often, by key: faces nobody knows, secrets that are
//! wrong. Tries whose outcome is open count like faults, so that many at once
//! get no further than one after the other.
//!
//! Each replica counts for itself, and each service: a key has its share of
//! the quota at each of the replicas configured. Where calls spread unevenly a
//! key meets its limit early, never late.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{FORGOTTEN_AFTER, Limited, MOST_KEYS, Quota, lock};

/// Faults by key.
pub struct Faults<K> {
    entries: Cache<K, Arc<Entry>>,
    replicas: NonZeroU32,
}

struct Entry {
    quota: Quota,
    share: Quota,
    bucket: Mutex<Bucket>,
}

/// A try whose outcome is open. Dropped, it has counted for nothing.
#[must_use = "a try that is not held counts for nothing"]
pub struct Attempt {
    entry: Arc<Entry>,
    failed: bool,
}

impl<K: Hash + Eq + Send + Sync + 'static> Faults<K> {
    pub fn new(replicas: NonZeroU32) -> Self {
        Self {
            entries: Cache::builder()
                .max_capacity(MOST_KEYS)
                .time_to_idle(FORGOTTEN_AFTER)
                .build(),
            replicas,
        }
    }

    /// Lets the key try, unless it would be past its quota if all that is open
    /// failed.
    pub fn attempt(&self, key: K, quota: Quota) -> Result<Attempt, Limited> {
        let entry = self.entry(key, quota);
        let opened = lock(&entry.bucket).open(&entry.share, Instant::now());
        match opened {
            Ok(()) => Ok(Attempt {
                entry,
                failed: false,
            }),
            Err(wait) => Err(Limited { quota, wait }),
        }
    }

    fn entry(&self, key: K, quota: Quota) -> Arc<Entry> {
        if let Some(entry) = self.entries.get(&key)
            && entry.quota == quota
        {
            return entry;
        }
        let new = Arc::new(Entry {
            quota,
            share: quota.share(self.replicas),
            bucket: Mutex::default(),
        });
        // Whoever was first at the same time, or had another quota.
        let entry = self.entries.entry(key).and_upsert_with(|held| match held {
            Some(held) if held.value().quota == quota => held.into_value(),
            _ => new,
        });
        entry.into_value()
    }
}

impl Attempt {
    /// It has come out wrong: it counts until the quota has recovered.
    pub fn failed(mut self) {
        self.failed = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let (entry, failed) = (&self.entry, self.failed);
        lock(&entry.bucket).close(&entry.share, Instant::now(), failed);
    }
}

/// GCRA, with the open tries on top: `governor` gives nothing back.
#[derive(Default)]
struct Bucket {
    /// When all that was counted has recovered.
    recovered: Option<Instant>,
    open: u32,
}

impl Bucket {
    /// Else how long until one more might be let through.
    fn open(&mut self, share: &Quota, now: Instant) -> Result<(), Duration> {
        let each = share.each();
        let counted = self
            .recovered
            .map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
        let used = counted + each * self.open;
        let wait = used.saturating_sub(each * (share.burst.get() - 1));
        if wait.is_zero() {
            self.open += 1;
            Ok(())
        } else {
            Err(wait)
        }
    }

    fn close(&mut self, share: &Quota, now: Instant, failed: bool) {
        self.open = self.open.saturating_sub(1);
        if failed {
            let from = self.recovered.map_or(now, |end| end.max(now));
            self.recovered = Some(from + share.each());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("not zero")
    }

    fn faults() -> Faults<&'static str> {
        Faults::new(NonZeroU32::MIN)
    }

    #[test]
    fn faults_past_the_quota_close_the_key_until_it_has_recovered() {
        let faults = faults();
        let quota = Quota::per_minute("misses", number(2));
        for _ in 0..2 {
            faults.attempt("a", quota).expect("within it").failed();
        }
        let limited = faults.attempt("a", quota).err().expect("closed");
        assert_eq!(limited.quota, quota);
        assert!((1..=30).contains(&limited.retry_after()), "{limited:?}");
        assert!(faults.attempt("b", quota).is_ok());
    }

    #[test]
    fn what_came_out_well_counts_for_nothing() {
        let faults = faults();
        let quota = Quota::per_minute("misses", number(1));
        for _ in 0..100 {
            drop(faults.attempt("a", quota).expect("nothing was wrong"));
        }
    }

    #[test]
    fn many_at_once_get_no_further() {
        let faults = faults();
        let quota = Quota::per_minute("misses", number(3));
        let mut open: Vec<Attempt> = (0..50)
            .filter_map(|_| faults.attempt("a", quota).ok())
            .collect();
        assert_eq!(open.len(), 3);
        // One is known after all: another may try in its place, and no more.
        open.pop();
        let another = faults.attempt("a", quota).expect("a place");
        assert!(faults.attempt("a", quota).is_err());
        for attempt in open.into_iter().chain([another]) {
            attempt.failed();
        }
        assert!(faults.attempt("a", quota).is_err());
    }

    #[test]
    fn threads_share_one_quota() {
        let faults = faults();
        let quota = Quota::per_minute("misses", number(3));
        let tried = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        if let Ok(attempt) = faults.attempt("a", quota) {
                            tried.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            attempt.failed();
                        }
                    }
                });
            }
        });
        assert_eq!(tried.into_inner(), 3);
    }

    #[test]
    fn the_quota_recovers_one_by_one() {
        let quota = Quota::per_minute("misses", number(6));
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..6 {
            assert_eq!(bucket.open(&quota, start), Ok(()));
            bucket.close(&quota, start, true);
        }
        assert_eq!(bucket.open(&quota, at(4)), Err(Duration::from_secs(6)));
        assert_eq!(bucket.open(&quota, at(10)), Ok(()));
        assert_eq!(bucket.open(&quota, at(10)), Err(Duration::from_secs(10)));
        bucket.close(&quota, at(10), false);
        assert_eq!(bucket.open(&quota, at(10)), Ok(()));
    }

    #[test]
    fn each_replica_has_its_share() {
        let faults = Faults::new(number(4));
        let quota = Quota::per_minute("misses", number(10));
        let mut tried = 0;
        while let Ok(attempt) = faults.attempt("a", quota) {
            attempt.failed();
            tried += 1;
        }
        assert_eq!(tried, 3, "a quarter of ten, and never none");
        let limited = faults.attempt("a", quota).err().expect("closed");
        assert_eq!(limited.policy(), "\"misses\";q=10;w=60");
    }

    #[test]
    fn a_changed_quota_takes_effect() {
        let faults = faults();
        let small = Quota::per_minute("misses", number(1));
        faults.attempt("a", small).expect("one").failed();
        assert!(faults.attempt("a", small).is_err());
        let large = Quota::per_minute("misses", number(5));
        assert!(faults.attempt("a", large).is_ok());
    }
}
