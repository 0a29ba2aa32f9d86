//! What is wrong with rows that come many at once.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use jiff::Timestamp;
use mesh::clock::to_micros;

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

/// From when on something is held, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) to: Option<Timestamp>,
}

impl Span {
    pub(crate) fn new(from: Timestamp, to: Option<Timestamp>) -> Result<Self, Error> {
        // As exact as it is stored.
        if to.is_some_and(|to| to_micros(to) <= to_micros(from)) {
            return Err(Error::InvalidField {
                field: "held_to",
                detail: "must be after held_from",
            });
        }
        Ok(Self { from, to })
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.to.is_none_or(|to| other.from < to) && other.to.is_none_or(|to| self.from < to)
    }
}

/// Spans of what only one may hold at a time, within a file.
pub(crate) struct Spans<K>(HashMap<K, Vec<(Span, u32)>>);

impl<K> Default for Spans<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Spans<K> {
    pub(crate) fn check(
        &mut self,
        key: K,
        span: Span,
        at: At,
        field: &'static str,
        faults: &mut Faults,
    ) {
        let spans = self.0.entry(key).or_default();
        if let Some((_, line)) = spans.iter().find(|(other, _)| other.overlaps(&span)) {
            faults.add(
                at,
                field,
                format!("is held for a part of that time by line {line}"),
            );
        }
        spans.push((span, at.line));
    }
}

/// Number of a flat or a house, which is never a name.
pub(crate) fn check_unit(unit: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '/' | '.' | '-');
    if unit.chars().count() > 20 || !unit.chars().all(fits) {
        return Err(Error::InvalidField {
            field: "unit",
            detail: "must be 0 to 20 of letters, digits, space, / . and -",
        });
    }
    Ok(())
}

pub(crate) fn check_device_id(id: &str) -> Result<(), Error> {
    let fault = |detail| {
        Err(Error::InvalidField {
            field: "device_id",
            detail,
        })
    };
    if !super::syntax::is_partner_id(id) {
        return fault("must be 1 to 128 of [A-Za-z0-9._:-]");
    }
    // In a partner's URL they would mean another path.
    if matches!(id, "." | "..") {
        return fault("must not be . or ..");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(row: usize) -> At {
        At {
            row,
            line: u32::try_from(row).expect("small") + 2,
        }
    }

    fn span(from: &str, to: Option<&str>) -> Span {
        let time = |text: &str| text.parse().expect("a time");
        Span::new(time(from), to.map(time)).expect("a span")
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
    fn spans_overlap_unless_one_ends_where_the_other_begins() {
        let june = span("2026-06-01T00:00:00Z", Some("2026-07-01T00:00:00Z"));
        let july = span("2026-07-01T00:00:00Z", Some("2026-08-01T00:00:00Z"));
        let since_may = span("2026-05-01T00:00:00Z", None);
        let since_july = span("2026-07-01T00:00:00Z", None);
        assert!(!june.overlaps(&july) && !july.overlaps(&june));
        assert!(june.overlaps(&since_may) && since_may.overlaps(&june));
        assert!(!june.overlaps(&since_july) && !since_july.overlaps(&june));
        assert!(since_may.overlaps(&since_july));
        let mut faults = Faults::default();
        let mut spans = Spans::default();
        for (row, one) in [june, july, since_may].into_iter().enumerate() {
            spans.check("key", one, at(row), "credential_id", &mut faults);
        }
        assert_eq!(faults.faulty_rows(), 1);
        assert!(Span::new(june.from, Some(june.from)).is_err());
    }

    #[test]
    fn units_are_numbers_and_ids_fit_a_path() {
        for good in ["", "12", "3-14/А", "Лит. Б"] {
            assert!(check_unit(good).is_ok(), "{good}");
        }
        for wrong in ["a\nb", "x_y", &"1".repeat(21)] {
            assert!(check_unit(wrong).is_err(), "{wrong}");
        }
        assert!(check_device_id("door-1").is_ok());
        for wrong in ["", ".", "..", "a/b"] {
            assert!(check_device_id(wrong).is_err(), "{wrong}");
        }
    }
}
