//! What others know of payments, and what comes of it here.

use jiff::{SignedDuration, Timestamp};
use mesh::clock::to_micros;

use super::decision::Subscription;
use crate::error::Error;

/// How far ahead the moment of a state may lie: what is told after it would count for nothing
/// until then.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// A state of payment, and of which moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) paid: Subscription,
    pub(crate) as_of: Timestamp,
}

/// What becomes of a state that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Applied,
    /// It is the state already.
    Repeated,
    Outdated,
}

impl Payment {
    pub(crate) fn validate(&self, now: Timestamp) -> Result<(), Error> {
        if self.paid.grace_days > 365 {
            return Err(Error::InvalidField {
                field: "grace_days",
                detail: "must be 0 to 365",
            });
        }
        if self.as_of.duration_since(now) > AHEAD {
            return Err(Error::InvalidField {
                field: "as_of",
                detail: "lies ahead by more than a day",
            });
        }
        Ok(())
    }

    /// Of two states of one moment the later word counts.
    pub(crate) fn over(&self, known: Option<&Self>) -> Outcome {
        // As exact as it is stored.
        let micros = |payment: &Self| {
            let until = to_micros(payment.paid.paid_until);
            (to_micros(payment.as_of), until)
        };
        let rest = |payment: &Self| (payment.paid.grace_days, payment.paid.suspended);
        match known {
            Some(known) if to_micros(self.as_of) < to_micros(known.as_of) => Outcome::Outdated,
            Some(known) if micros(self) == micros(known) && rest(self) == rest(known) => {
                Outcome::Repeated
            }
            _ => Outcome::Applied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn payment(as_of: &str, grace_days: u32) -> Payment {
        Payment {
            paid: Subscription {
                paid_until: at("2026-12-01T00:00:00Z"),
                grace_days,
                suspended: false,
            },
            as_of: at(as_of),
        }
    }

    #[test]
    fn the_newer_state_counts_and_of_equals_the_later_word() {
        let known = payment("2026-11-24T12:00:00Z", 3);
        for (told, expected) in [
            (payment("2026-11-24T11:59:59Z", 3), Outcome::Outdated),
            (payment("2026-11-24T12:00:00Z", 3), Outcome::Repeated),
            (
                payment("2026-11-24T12:00:00.0000004Z", 3),
                Outcome::Repeated,
            ),
            (payment("2026-11-24T12:00:00Z", 4), Outcome::Applied),
            (payment("2026-11-24T12:00:01Z", 3), Outcome::Applied),
        ] {
            assert_eq!(told.over(Some(&known)), expected, "{told:?}");
        }
        assert_eq!(known.over(None), Outcome::Applied);
        let mut suspended = known;
        suspended.paid.suspended = true;
        assert_eq!(suspended.over(Some(&known)), Outcome::Applied);
    }

    #[test]
    fn grace_has_a_bound() {
        let now = at("2026-11-24T12:00:00Z");
        assert!(payment("2026-11-24T12:00:00Z", 365).validate(now).is_ok());
        assert!(payment("2026-11-24T12:00:00Z", 366).validate(now).is_err());
    }

    #[test]
    fn no_state_is_of_the_day_after_tomorrow() {
        let now = at("2026-11-24T12:00:00Z");
        for (as_of, good) in [
            ("2020-01-01T00:00:00Z", true),
            ("2026-11-25T12:00:00Z", true),
            ("2026-11-25T12:00:01Z", false),
            ("2030-01-01T00:00:00Z", false),
        ] {
            assert_eq!(payment(as_of, 0).validate(now).is_ok(), good, "{as_of}");
        }
    }
}
