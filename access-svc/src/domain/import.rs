//! What is wrong with rows that come many at once.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use super::holding::Held;
use crate::error::Error;

/// Most rows of an import.
pub(crate) const MOST_ROWS: usize = 20_000;

/// It names no plate, no name and no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: u32,
    pub(crate) field: &'static str,
    pub(crate) detail: String,
}

/// A row's place among the rows, and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) row: usize,
    pub(crate) line: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    all: Vec<Fault>,
    rows: BTreeSet<usize>,
}

impl Faults {
    pub(crate) fn add(&mut self, at: At, field: &'static str, detail: impl Into<String>) {
        self.rows.insert(at.row);
        self.all.push(Fault {
            line: at.line,
            field,
            detail: detail.into(),
        });
    }

    /// The value, or why there is none, told of this field of the row.
    pub(crate) fn take<T>(
        &mut self,
        at: At,
        field: &'static str,
        result: Result<T, Error>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Error::InvalidField { detail, .. }) => {
                self.add(at, field, detail);
                None
            }
            // Each says what is wrong and nothing of what was written.
            Err(error) => {
                self.add(at, field, error.to_string());
                None
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn faulty_rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn into_sorted(mut self) -> Vec<Fault> {
        self.all.sort_by_key(|fault| fault.line);
        self.all
    }
}

/// What rows of a file must not have in common.
pub(crate) struct Once<K>(HashMap<K, At>);

impl<K> Default for Once<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Once<K> {
    pub(crate) fn check(&mut self, key: K, at: At, field: &'static str, faults: &mut Faults) {
        let first = *self.0.entry(key).or_insert(at);
        if first != at {
            let line = first.line;
            faults.add(at, field, format!("is that of line {line} as well"));
        }
    }
}

/// Spans of what only one may hold at a time, within a file.
pub(crate) struct Spans<K>(HashMap<K, Vec<(Held, u32)>>);

impl<K> Default for Spans<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Spans<K> {
    pub(crate) fn check(
        &mut self,
        key: K,
        held: Held,
        at: At,
        field: &'static str,
        faults: &mut Faults,
    ) {
        let spans = self.0.entry(key).or_default();
        if let Some((_, line)) = spans.iter().find(|(other, _)| other.overlaps(held)) {
            faults.add(
                at,
                field,
                format!("is held for a part of that time by line {line}"),
            );
        }
        spans.push((held, at.line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::household::check_unit;

    fn at(row: usize) -> At {
        At {
            row,
            line: u32::try_from(row).expect("small") + 2,
        }
    }

    fn span(from: &str, to: Option<&str>) -> Held {
        let time = |text: &str| text.parse().expect("a time");
        Held::new(time(from), to.map(time)).expect("a span")
    }

    #[test]
    fn every_fault_is_kept_and_rows_are_counted_once() {
        let mut faults = Faults::default();
        faults.add(at(3), "name", "is empty");
        let plate = Err::<(), _>(Error::InvalidPlate("the plate is empty".into()));
        assert!(faults.take(at(1), "plate", plate).is_none());
        assert!(faults.take(at(1), "unit", check_unit("Иванов!")).is_none());
        assert_eq!(faults.faulty_rows(), 2);
        let told: Vec<_> = faults.into_sorted();
        let places: Vec<_> = told.iter().map(|f| (f.line, f.field)).collect();
        assert_eq!(places, [(3, "plate"), (3, "unit"), (5, "name")]);
        assert!(told[0].detail.contains("plate is empty"), "{told:?}");
    }

    #[test]
    fn a_twin_names_the_line_of_the_first() {
        let mut faults = Faults::default();
        let mut once = Once::default();
        for (row, key) in ["a", "b", "a"].into_iter().enumerate() {
            once.check(key, at(row), "external_id", &mut faults);
        }
        let told = faults.into_sorted();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].line, 4);
        assert_eq!(told[0].detail, "is that of line 2 as well");
    }

    #[test]
    fn what_is_held_twice_names_the_line_of_the_first() {
        let june = span("2026-06-01T00:00:00Z", Some("2026-07-01T00:00:00Z"));
        let july = span("2026-07-01T00:00:00Z", Some("2026-08-01T00:00:00Z"));
        let since_may = span("2026-05-01T00:00:00Z", None);
        let mut faults = Faults::default();
        let mut spans = Spans::default();
        for (row, one) in [june, july, since_may].into_iter().enumerate() {
            spans.check("key", one, at(row), "credential_id", &mut faults);
        }
        spans.check("another", june, at(3), "credential_id", &mut faults);
        let told = faults.into_sorted();
        assert_eq!(told.len(), 1, "{told:?}");
        let wanted = "is held for a part of that time by line 2";
        assert_eq!((told[0].line, told[0].detail.as_str()), (4, wanted));
    }
}
