//! Tokens that are void before they expire, as far as auth-svc has told.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::clients::Revocation;

#[derive(Default)]
pub(super) struct Revocations {
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    /// Number up to which all are known.
    last: i64,
    ends: HashMap<Uuid, Timestamp>,
}

impl Revocations {
    /// What cannot be the name of one of our tokens counts as revoked.
    pub(super) fn contains(&self, jti: &str) -> bool {
        match Uuid::try_parse(jti) {
            Ok(jti) => self.read().ends.contains_key(&jti),
            Err(_) => true,
        }
    }

    pub(super) fn last(&self) -> i64 {
        self.read().last
    }

    /// Those known before stay, even where auth-svc counts anew.
    pub(super) fn add(&self, new: Vec<Revocation>, last: i64) {
        let mut held = self.write();
        held.last = last;
        let new = new.into_iter().map(|one| (one.jti, one.expires_at));
        held.ends.extend(new);
    }

    /// Forgets those of tokens that have expired.
    pub(super) fn forget_expired(&self, now: Timestamp) {
        self.write().ends.retain(|_, end| now < *end);
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn what_was_told_is_held_until_its_token_expires() {
        let revocations = Revocations::default();
        let one = |n, end| Revocation {
            jti: Uuid::from_u128(n),
            expires_at: at(end),
        };
        let name = |n| Uuid::from_u128(n).to_string();
        revocations.add(vec![one(1, 100), one(2, 200)], 7);
        assert_eq!(revocations.last(), 7);
        assert!(revocations.contains(&name(1)) && revocations.contains(&name(2)));
        assert!(!revocations.contains(&name(3)));
        // An older database was restored behind auth-svc.
        revocations.add(vec![one(3, 200)], 1);
        assert_eq!(revocations.last(), 1);
        assert!(revocations.contains(&name(2)) && revocations.contains(&name(3)));
        revocations.forget_expired(at(100));
        assert!(!revocations.contains(&name(1)) && revocations.contains(&name(2)));
        assert!(revocations.contains("no UUID"));
    }
}
