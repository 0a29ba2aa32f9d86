//! Guests: people with an end.

use jiff::{SignedDuration, Timestamp};

use super::{schedule::Window, syntax::check_name};
use crate::error::Error;

/// A year, and the day that some have more.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);
const MOST_TARGETS: usize = 20;

/// The end lies ahead, but not for ever.
pub(crate) fn check_end(ends_at: Timestamp, now: Timestamp) -> Result<(), Error> {
    let ahead = ends_at.duration_since(now);
    if ahead <= SignedDuration::ZERO || ahead > LONGEST {
        return Err(Error::InvalidField {
            field: "ends_at",
            detail: "must lie ahead, by a year at most",
        });
    }
    Ok(())
}

/// A guest may be without a name.
pub(crate) fn check_guest_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Ok(());
    }
    check_name("name", name, 200)
}

/// What a guest may open, and when.
pub(crate) fn check_rights(targets: usize, windows: &[Window]) -> Result<(), Error> {
    if !(1..=MOST_TARGETS).contains(&targets) {
        return Err(Error::InvalidField {
            field: "targets",
            detail: "must be 1 to 20 devices or groups",
        });
    }
    windows.iter().try_for_each(Window::validate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_ends_ahead_within_a_year() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        for good in ["2026-11-24T12:00:01Z", "2027-11-24T12:00:00Z"] {
            assert!(check_end(at(good), now).is_ok(), "{good}");
        }
        for wrong in [
            "2026-11-24T12:00:00Z",
            "2020-01-01T00:00:00Z",
            "2028-01-01T00:00:00Z",
        ] {
            assert!(check_end(at(wrong), now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_may_lack_and_a_right_may_not() {
        assert!(check_guest_name("").is_ok() && check_guest_name("Gleb").is_ok());
        assert!(check_guest_name("a\nb").is_err() && check_guest_name(" ").is_err());
        assert!(check_rights(0, &[]).is_err() && check_rights(21, &[]).is_err());
        assert!(check_rights(20, &[]).is_ok());
    }
}
