//! Rates, by key, each key with a quota of its own (GCRA, through `governor`).
//! Kept in memory: each replica counts for itself.

mod faults;
mod tally;

use std::{
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use faults::{Attempt, Faults};
use governor::{
    DefaultDirectRateLimiter, RateLimiter,
    clock::{Clock, DefaultClock},
};
use moka::sync::Cache;
pub use tally::{TOLD_EVERY, Tally};
use tonic::{Code, Status};

use crate::error::status_with;

/// Keys remembered at once: a flood of new ones pushes out idle ones.
const MOST_KEYS: u64 = 200_000;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// What limits count: one host, or one IPv6 network, since a host has as many
/// addresses in its /64 as it likes.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        host => host,
    }
}

/// So many within a period, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub name: &'static str,
    pub count: NonZeroU32,
    pub period: Duration,
    pub burst: NonZeroU32,
}

impl Quota {
    pub fn per_second(name: &'static str, count: NonZeroU32, burst: NonZeroU32) -> Self {
        Self {
            name,
            count,
            period: Duration::from_secs(1),
            burst,
        }
    }

    /// A minute's worth may come at once.
    pub fn per_minute(name: &'static str, count: NonZeroU32) -> Self {
        Self {
            name,
            count,
            period: Duration::from_secs(60),
            burst: count,
        }
    }

    /// What one of so many replicas counts, where calls spread evenly.
    fn share(&self, replicas: NonZeroU32) -> Self {
        let share = |whole: NonZeroU32| {
            let share = whole.get().div_ceil(replicas.get());
            NonZeroU32::new(share).unwrap_or(NonZeroU32::MIN)
        };
        Self {
            count: share(self.count),
            burst: share(self.burst),
            ..*self
        }
    }

    /// Between two of a steady stream.
    fn each(&self) -> Duration {
        self.period / self.count.get()
    }

    fn limiter(&self) -> DefaultDirectRateLimiter {
        // A period of zero has no quota: the fastest that can be told.
        let quota = governor::Quota::with_period(self.each().max(Duration::from_nanos(1)))
            .unwrap_or_else(|| governor::Quota::per_second(self.count));
        RateLimiter::direct(quota.allow_burst(self.burst))
    }
}

/// Too much of something, and when to try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct Limited {
    pub quota: Quota,
    pub wait: Duration,
}

impl Limited {
    /// Whole seconds, at least one (RFC 9110 section 10.2.3).
    pub fn retry_after(&self) -> u64 {
        self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0)
    }

    /// `RateLimit` of draft-ietf-httpapi-ratelimit-headers.
    pub fn header(&self) -> String {
        format!("\"{}\";r=0;t={}", self.quota.name, self.retry_after())
    }

    /// `RateLimit-Policy` of the same.
    pub fn policy(&self) -> String {
        let quota = &self.quota;
        format!(
            "\"{}\";q={};w={}",
            quota.name,
            quota.count,
            quota.period.as_secs()
        )
    }
}

impl From<&Limited> for Status {
    fn from(limited: &Limited) -> Self {
        status_with(
            Code::ResourceExhausted,
            "RATE_LIMITED",
            limited.to_string(),
            [
                ("retry_after", limited.retry_after().to_string()),
                ("ratelimit", limited.header()),
                ("ratelimit_policy", limited.policy()),
            ],
        )
    }
}

struct Entry {
    quota: Quota,
    limiter: DefaultDirectRateLimiter,
}

/// A limiter for each key.
pub struct Limits<K> {
    entries: Cache<K, Arc<Entry>>,
    refused: AtomicU64,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Default for Limits<K> {
    fn default() -> Self {
        Self {
            entries: Cache::builder()
                .max_capacity(MOST_KEYS)
                .time_to_idle(FORGOTTEN_AFTER)
                .build(),
            refused: AtomicU64::new(0),
        }
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Limits<K> {
    fn entry(&self, key: K, quota: Quota) -> Arc<Entry> {
        let new = || {
            Arc::new(Entry {
                quota,
                limiter: quota.limiter(),
            })
        };
        let entry = self.entries.get_with_by_ref(&key, new);
        if entry.quota == quota {
            return entry;
        }
        let renewed = new();
        self.entries.insert(key, renewed.clone());
        renewed
    }

    /// Takes one from the key's quota.
    pub fn take(&self, key: K, quota: Quota) -> Result<(), Limited> {
        self.entry(key, quota).limiter.check().map_err(|until| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Limited {
                quota,
                wait: until.wait_time_from(DefaultClock::default().now()),
            }
        })
    }

    /// Refusals since the last time this was asked.
    pub fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("not zero")
    }

    #[test]
    fn each_key_has_its_own_quota() {
        let limits = Limits::default();
        let quota = Quota::per_minute("requests", number(3));
        for _ in 0..3 {
            assert!(limits.take("a", quota).is_ok());
        }
        let limited = limits.take("a", quota).expect_err("a fourth");
        assert!((1..=20).contains(&limited.retry_after()), "{limited:?}");
        assert_eq!(limited.policy(), "\"requests\";q=3;w=60");
        assert!(limited.header().starts_with("\"requests\";r=0;t="));
        assert!(limits.take("b", quota).is_ok());
        assert_eq!(limits.take_refused(), 1);
        assert_eq!(limits.take_refused(), 0);
    }

    #[test]
    fn a_changed_quota_takes_effect() {
        let limits = Limits::default();
        let small = Quota::per_minute("requests", number(1));
        assert!(limits.take("a", small).is_ok());
        assert!(limits.take("a", small).is_err());
        let large = Quota::per_minute("requests", number(5));
        assert!(limits.take("a", large).is_ok());
    }
}
