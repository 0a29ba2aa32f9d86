//! Households.

use crate::error::Error;

/// Number of a flat or a house, never a name; none is the empty text.
pub(crate) fn check_unit(unit: &str) -> Result<(), Error> {
    let in_unit = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '/' | '.' | '-');
    if unit.chars().count() > 20 || !unit.chars().all(in_unit) {
        return Err(Error::InvalidField {
            field: "unit",
            detail: "must be 0 to 20 letters, digits, spaces, `/`, `.` and `-`",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_number_and_no_story() {
        for good in ["", "12", "12/3", "3-14/А", "кв. 7-А"] {
            assert!(check_unit(good).is_ok(), "{good:?}");
        }
        for wrong in ["12\n", "a@b", "x_y", &"1".repeat(21)] {
            assert!(check_unit(wrong).is_err(), "{wrong:?}");
        }
    }
}
