//! The shapes of ids and names.

use crate::error::Error;

/// A partner's own id of a device, key, fob or event: 1 to 128 of
/// `[A-Za-z0-9._:-]`.
pub(crate) fn is_partner_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

/// Text for people: 1 to `most` characters, none of them a control character.
pub(crate) fn check_name(field: &'static str, text: &str, most: usize) -> Result<(), Error> {
    let length = text.trim().chars().count();
    if length == 0 || text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Error::InvalidField {
            field,
            detail: "is empty, too long or holds control characters",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_whole() {
        assert!(is_partner_id("door-1.A_b:c"));
        assert!(is_partner_id(&"x".repeat(128)));
        for wrong in ["", "a b", "a/b", "ä", "a\0", &"x".repeat(129)] {
            assert!(!is_partner_id(wrong), "{wrong:?}");
        }
    }
}
