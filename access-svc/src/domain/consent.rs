//! Consents to biometrics: one that is withdrawn takes with it all that were given before.

use jiff::{SignedDuration, Timestamp};

use super::syntax::check_name;
use crate::error::Error;

/// How far the clock of whoever tells of a consent may run ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How far the clock of whoever issues tokens may run ahead.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// A consent as it may be recorded at all.
pub(crate) fn check(
    (field, reference): (&'static str, &str),
    consented_at: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    check_name(field, reference, 200)?;
    // Dated ahead, it would outlive a withdrawal.
    if consented_at.duration_since(now) > AHEAD {
        return Err(Error::InvalidField {
            field: "consented_at",
            detail: "lies ahead",
        });
    }
    Ok(())
}

/// Refuses what was given before the last withdrawal.
pub(crate) fn check_given_since(
    consented_at: Timestamp,
    last_withdrawal: Option<Timestamp>,
) -> Result<(), Error> {
    if last_withdrawal.is_some_and(|withdrawn_at| consented_at < withdrawn_at) {
        return Err(Error::ConsentWithdrawn);
    }
    Ok(())
}

/// Whether a token of a face that was issued then opens nothing any more.
pub(crate) fn is_withdrawn(issued_at: Timestamp, last_withdrawal: Option<Timestamp>) -> bool {
    last_withdrawal.is_some_and(|withdrawn_at| issued_at.duration_since(withdrawn_at) <= LEEWAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn what_was_given_before_a_withdrawal_is_withdrawn() {
        assert!(check_given_since(at(5), None).is_ok());
        assert!(check_given_since(at(5), Some(at(4))).is_ok());
        let before = check_given_since(at(3), Some(at(4)));
        assert!(matches!(before, Err(Error::ConsentWithdrawn)));
    }

    #[test]
    fn a_token_of_a_face_ends_with_the_consent() {
        assert!(!is_withdrawn(at(100), None));
        assert!(is_withdrawn(at(100), Some(at(101))));
        assert!(is_withdrawn(at(130), Some(at(100))), "by a clock ahead");
        assert!(!is_withdrawn(at(131), Some(at(100))));
    }

    #[test]
    fn a_consent_has_a_reference_and_lies_behind() {
        assert!(check(("reference", "form 7"), at(100), at(100)).is_ok());
        assert!(check(("reference", "form 7"), at(200), at(100)).is_ok());
        assert!(check(("reference", ""), at(100), at(100)).is_err());
        assert!(check(("reference", "x".repeat(201).as_str()), at(100), at(100)).is_err());
        assert!(check(("reference", "form 7"), at(1_000), at(100)).is_err());
    }
}
