//! Templates whose rows do not open: left out of the search, counted, told.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use mesh::admin::Readiness;
use opentelemetry::global;
use uuid::Uuid;

/// By subject and id.
pub(super) struct Corrupt {
    known: Mutex<BTreeSet<(Uuid, Uuid)>>,
    /// Ready while there is none: seen from outside, and nobody is sent
    /// elsewhere for it.
    health: Readiness,
}

impl Corrupt {
    pub(super) fn new(health: Readiness) -> Self {
        Self {
            known: Mutex::default(),
            health,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(super) fn subjects(&self) -> BTreeSet<Uuid> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(subject, _)| *subject).collect()
    }

    /// After every row was read.
    pub(super) fn set_all(&self, found: BTreeSet<(Uuid, Uuid)>) {
        self.change(|known| *known = found);
    }

    /// After a subject's rows were read or have gone.
    pub(super) fn set_of(&self, subject: Uuid, found: &[Uuid]) {
        self.change(|known| {
            known.retain(|(of, _)| *of != subject);
            known.extend(found.iter().map(|template| (subject, *template)));
        });
    }

    /// After one was written anew.
    pub(super) fn mended(&self, subject: Uuid, template: Uuid) {
        self.change(|known| {
            known.remove(&(subject, template));
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<(Uuid, Uuid)>)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        self.health.set(known.is_empty());
        global::meter("biometric")
            .u64_gauge("biometric.templates.corrupt")
            .build()
            .record(known.len() as u64, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_and_until_it_is_mended_or_gone() {
        let health = Readiness::default();
        let corrupt = Corrupt::new(health.clone());
        let id = Uuid::from_u128;
        corrupt.set_all(BTreeSet::from([(id(1), id(10)), (id(2), id(20))]));
        assert_eq!((corrupt.count(), health.get()), (2, false));
        corrupt.set_of(id(1), &[id(10), id(11)]);
        corrupt.set_of(id(1), &[id(10), id(11)]);
        assert_eq!(corrupt.count(), 3);
        assert_eq!(corrupt.subjects(), BTreeSet::from([id(1), id(2)]));
        corrupt.mended(id(1), id(10));
        corrupt.set_of(id(2), &[]);
        assert_eq!((corrupt.count(), health.get()), (1, false));
        corrupt.set_of(id(1), &[]);
        assert_eq!((corrupt.count(), health.get()), (0, true));
    }
}
