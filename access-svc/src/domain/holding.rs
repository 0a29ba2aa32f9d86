//! For how long somebody holds something.

use jiff::Timestamp;
use mesh::clock::to_micros;

use crate::error::Error;

/// From a moment on, up to the end where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) from: Timestamp,
    pub(crate) to: Option<Timestamp>,
}

impl Held {
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

    pub(crate) fn is_at(&self, time: Timestamp) -> bool {
        self.from <= time && self.to.is_none_or(|end| time < end)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.to.is_none_or(|to| other.from < to) && other.to.is_none_or(|to| self.from < to)
    }

    /// Whether all of the other is a part of it.
    pub(crate) fn contains(self, other: Self) -> bool {
        let ends_later = match (self.to, other.to) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(to), Some(other)) => other <= to,
        };
        self.from <= other.from && ends_later
    }

    /// Cut to what has passed by now; one that has yet to begin never does.
    pub(crate) fn ended(self, now: Timestamp) -> Self {
        let to = self.to.map_or(now, |to| to.min(now)).max(self.from);
        Self {
            to: Some(to),
            ..self
        }
    }
}

/// What is to change of a holding.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpanChange {
    pub(crate) from: Option<Timestamp>,
    /// Inside, none is without an end.
    pub(crate) to: Option<Option<Timestamp>>,
}

impl SpanChange {
    pub(crate) fn of(self, held: Held) -> Result<Held, Error> {
        Held::new(self.from.unwrap_or(held.from), self.to.unwrap_or(held.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn an_end_is_after_its_beginning() {
        let from = at("2026-11-24T12:00:00Z");
        let to = |text: &str| Held::new(from, Some(at(text)));
        assert!(Held::new(from, None).is_ok());
        assert!(to("2026-11-24T12:00:00.000001Z").is_ok());
        for wrong in [
            "2026-11-24T12:00:00Z",
            "2026-11-24T12:00:00.000000999Z",
            "2026-11-24T11:00:00Z",
        ] {
            assert!(matches!(
                to(wrong),
                Err(Error::InvalidField {
                    field: "held_to",
                    ..
                })
            ));
        }
    }

    #[test]
    fn the_end_is_outside() {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-06-01T00:00:00Z"));
        let held = Held::new(from, Some(to)).expect("a span");
        assert!(held.is_at(from) && !held.is_at(to));
        assert!(!held.is_at(at("2025-12-31T23:59:59Z")));
        assert!(held.is_at(at("2026-05-31T23:59:59Z")));
        assert!(Held { from, to: None }.is_at(to));
    }

    #[test]
    fn spans_overlap_unless_one_ends_where_the_other_begins() {
        let span = |from, to: Option<&str>| Held::new(at(from), to.map(at)).expect("a span");
        let june = span("2026-06-01T00:00:00Z", Some("2026-07-01T00:00:00Z"));
        let july = span("2026-07-01T00:00:00Z", Some("2026-08-01T00:00:00Z"));
        let since_may = span("2026-05-01T00:00:00Z", None);
        let since_july = span("2026-07-01T00:00:00Z", None);
        assert!(!june.overlaps(july) && !july.overlaps(june));
        assert!(june.overlaps(since_may) && since_may.overlaps(june));
        assert!(!june.overlaps(since_july) && !since_july.overlaps(june));
        assert!(since_may.overlaps(since_july));
    }

    #[test]
    fn a_span_contains_what_begins_no_earlier_and_ends_no_later() {
        let span = |from, to: Option<&str>| Held::new(at(from), to.map(at)).expect("a span");
        let june = span("2026-06-01T00:00:00Z", Some("2026-07-01T00:00:00Z"));
        let since_may = span("2026-05-01T00:00:00Z", None);
        let since_june = span("2026-06-01T00:00:00Z", None);
        let until_july = span("2026-05-01T00:00:00Z", Some("2026-07-01T00:00:00Z"));
        assert!(june.contains(june) && since_may.contains(june) && until_july.contains(june));
        assert!(since_may.contains(since_june) && !since_june.contains(since_may));
        assert!(!june.contains(since_june) && !june.contains(until_july));
    }

    #[test]
    fn what_is_ended_ends_now_or_has_ended_before() {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-06-01T00:00:00Z"));
        let held = Held { from, to: Some(to) };
        let now = at("2026-03-01T00:00:00Z");
        assert_eq!(held.ended(now).to, Some(now));
        assert_eq!(Held { from, to: None }.ended(now).to, Some(now));
        assert_eq!(held.ended(at("2026-07-01T00:00:00Z")).to, Some(to));
        assert_eq!(held.ended(at("2025-07-01T00:00:00Z")).to, Some(from));
    }

    #[test]
    fn only_what_is_said_changes() {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-06-01T00:00:00Z"));
        let held = Held { from, to: Some(to) };
        let change = SpanChange::default();
        assert_eq!(change.of(held).expect("as it was"), held);
        let change = SpanChange {
            to: Some(None),
            ..change
        };
        assert_eq!(change.of(held).expect("open").to, None);
        let change = SpanChange {
            from: Some(to),
            to: None,
        };
        assert!(change.of(held).is_err());
    }
}
