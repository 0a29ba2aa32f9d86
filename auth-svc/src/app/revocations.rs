//! Tokens that are void before they expire: held in memory in the order in
//! which they were revoked, and read on from the last one, so that another
//! revocation costs no more for the thousands there are.

use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::App;
use crate::{error::Error, store::Revocation};

/// Most that are told in one answer.
const PAGE: usize = 10_000;

#[derive(Default)]
pub(crate) struct Revocations {
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    /// Number up to which all are known.
    last: i64,
    in_order: Vec<Revocation>,
    jtis: HashSet<Uuid>,
}

/// Some of the revocations.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) revocations: Vec<Revocation>,
    /// Number up to which all are known to whoever has taken these.
    pub(crate) last: i64,
    pub(crate) more: bool,
}

impl Revocations {
    pub(crate) fn contains(&self, jti: &Uuid) -> bool {
        self.read().jtis.contains(jti)
    }

    /// Those after that number.
    pub(crate) fn after(&self, number: i64) -> Page {
        let held = self.read();
        // Who knows more than there is knows another database's.
        let number = if number > held.last { 0 } else { number };
        let start = held.in_order.partition_point(|one| one.number <= number);
        let rest = &held.in_order[start..];
        let revocations = rest[..rest.len().min(PAGE)].to_vec();
        let more = revocations.len() < rest.len();
        let last = match revocations.last() {
            Some(one) if more => one.number,
            _ => held.last,
        };
        Page {
            revocations,
            last,
            more,
        }
    }

    /// Takes those after the last one known, in their order; all up to `last`
    /// are among them.
    fn add(&self, new: Vec<Revocation>, last: i64) {
        let mut held = self.write();
        held.last = new.last().map_or(last, |one| one.number.max(last));
        held.jtis.extend(new.iter().map(|one| one.jti));
        held.in_order.extend(new);
    }

    /// Forgets those of tokens that have expired.
    pub(crate) fn forget_expired(&self, now: Timestamp) {
        let mut held = self.write();
        let Held { in_order, jtis, .. } = &mut *held;
        in_order.retain(|one| {
            let live = now < one.expires_at;
            if !live {
                jtis.remove(&one.jti);
            }
            live
        });
    }

    fn last(&self) -> i64 {
        self.read().last
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Reads those that were added since, where the last one is of that number.
    pub(super) async fn learn_revocations(&self, last: i64) -> Result<(), Error> {
        let parts = &self.parts;
        let known = parts.revocations.last();
        if last > known {
            let now = parts.clock.now();
            let new = parts.store.revocations_after(known, now).await?;
            parts.revocations.add(new, last);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(number: i64, expires_at: i64) -> Revocation {
        Revocation {
            number,
            jti: Uuid::from_u128(number.unsigned_abs().into()),
            expires_at: Timestamp::from_second(expires_at).expect("a time"),
        }
    }

    #[test]
    fn they_are_told_in_pages_and_none_twice() {
        let revocations = Revocations::default();
        let all: Vec<Revocation> = (1..=25_000).map(|number| one(number, 100)).collect();
        // A number without a row: its token was revoked before.
        revocations.add(all[..20_000].to_vec(), 20_000);
        revocations.add(all[20_000..].to_vec(), 25_001);
        let (mut known, mut told, mut pages) = (0, Vec::new(), 0);
        loop {
            let page = revocations.after(known);
            told.extend(page.revocations);
            (known, pages) = (page.last, pages + 1);
            if !page.more {
                break;
            }
        }
        assert_eq!((told, known, pages), (all, 25_001, 3));
        let none = Page {
            revocations: vec![],
            last: 25_001,
            more: false,
        };
        assert_eq!(revocations.after(known), none);
        revocations.add(vec![one(25_002, 100)], 25_002);
        assert_eq!(revocations.after(known).revocations, [one(25_002, 100)]);
    }

    #[test]
    fn whoever_knows_another_databases_is_told_all() {
        let revocations = Revocations::default();
        revocations.add(vec![one(1, 100), one(2, 100)], 2);
        let page = revocations.after(7);
        assert_eq!((page.revocations.len(), page.last), (2, 2));
    }

    #[test]
    fn those_of_expired_tokens_are_forgotten() {
        let revocations = Revocations::default();
        revocations.add(vec![one(1, 100), one(2, 200)], 2);
        revocations.forget_expired(Timestamp::from_second(100).expect("a time"));
        assert!(!revocations.contains(&one(1, 0).jti));
        assert!(revocations.contains(&one(2, 0).jti));
        assert_eq!(revocations.after(0).revocations, [one(2, 200)]);
    }
}
