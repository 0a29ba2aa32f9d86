//! When a key that signs access tokens is made, published, used and dropped.
//! A verifier that keeps the key set for a while must know a key before it
//! meets its first token, and until it has met its last.

use jiff::{SignedDuration, Timestamp};

use super::client::LONGEST_LIFETIME_S;

/// Kept on top of the longest lifetime: clocks differ, requests take a while.
const AFTERWARDS: SignedDuration = SignedDuration::from_secs(120);

/// What the schedule knows of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) generation: i64,
    pub(crate) signs_from: Timestamp,
}

/// How often keys change, and how long before its first use one is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) rotate_after: SignedDuration,
    pub(crate) publish_before: SignedDuration,
}

/// The key that signs now: the newest whose time has come. With none yet, the
/// oldest, since something must sign.
pub(crate) fn signing(keys: &[Times], now: Timestamp) -> Option<i64> {
    keys.iter()
        .filter(|key| key.signs_from <= now)
        .max_by_key(|key| key.generation)
        .or_else(|| keys.iter().min_by_key(|key| key.generation))
        .map(|key| key.generation)
}

/// When the last token of a key has expired: none while no key follows it.
pub(crate) fn published_until(keys: &[Times], generation: i64) -> Option<Timestamp> {
    let next = keys
        .iter()
        .filter(|key| key.generation > generation)
        .min_by_key(|key| key.generation)?;
    let lifetime = SignedDuration::from_secs(i64::from(LONGEST_LIFETIME_S));
    Some(next.signs_from + lifetime + AFTERWARDS)
}

/// The key made last, while it still waits for its time.
pub(crate) fn waiting(keys: &[Times], now: Timestamp) -> Option<i64> {
    keys.iter()
        .max_by_key(|key| key.generation)
        .filter(|key| key.signs_from > now)
        .map(|key| key.generation)
}

impl Schedule {
    /// Whether the next key must be made now, to be published in time.
    pub(crate) fn is_due(&self, keys: &[Times], now: Timestamp) -> bool {
        keys.iter()
            .max_by_key(|key| key.generation)
            .is_none_or(|last| now >= last.signs_from + self.rotate_after - self.publish_before)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn key(generation: i64, signs_from: i64) -> Times {
        Times {
            generation,
            signs_from: at(signs_from),
        }
    }

    #[test]
    fn a_key_signs_from_its_time_until_the_next_ones() {
        let keys = [key(1, 0), key(2, 1_000)];
        assert_eq!(signing(&keys, at(999)), Some(1));
        assert_eq!(signing(&keys, at(1_000)), Some(2));
        assert_eq!(signing(&[key(1, 50)], at(0)), Some(1));
        assert_eq!(signing(&[], at(0)), None);
        assert_eq!(waiting(&keys, at(999)), Some(2));
        assert_eq!(waiting(&keys, at(1_000)), None);
    }

    #[test]
    fn a_key_is_published_until_its_last_token_has_expired() {
        let keys = [key(1, 0), key(2, 1_000)];
        assert_eq!(published_until(&keys, 1), Some(at(1_000 + 3_600 + 120)));
        assert_eq!(published_until(&keys, 2), None);
    }

    #[test]
    fn the_next_key_is_made_before_the_old_one_is_old() {
        let schedule = Schedule {
            rotate_after: SignedDuration::from_secs(10_000),
            publish_before: SignedDuration::from_secs(600),
        };
        let keys = [key(1, 0)];
        assert!(!schedule.is_due(&keys, at(9_399)));
        assert!(schedule.is_due(&keys, at(9_400)));
        assert!(!schedule.is_due(&[key(1, 0), key(2, 10_000)], at(9_400)));
        assert!(schedule.is_due(&[], at(0)));
    }

    proptest! {
        #[test]
        fn the_key_that_signs_is_published(times in proptest::collection::vec(0i64..100_000, 1..6), now in 0i64..200_000) {
            let mut times = times;
            times.sort_unstable();
            let keys: Vec<Times> = times.iter().zip(1..).map(|(time, generation)| key(generation, *time)).collect();
            let signing = signing(&keys, at(now)).expect("one signs");
            let until = published_until(&keys, signing);
            prop_assert!(until.is_none_or(|until| until > at(now) + SignedDuration::from_secs(3_600)) || times.iter().all(|t| *t > now));
        }
    }
}
