//! Forms of values that cross the edge: partners' ids, RFC 3339 times.

use jiff::Timestamp;

/// Ids of devices, keys, fobs and events are the partner's own: 1 to 128 of
/// `[A-Za-z0-9._:-]`.
pub(crate) fn is_partner_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

/// RFC 3339 `date-time` and nothing looser; a fraction past nanoseconds is cut.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let is = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|b| allowed.contains(b));
    let shaped = digits(0..4)
        && is(4, b"-")
        && digits(5..7)
        && is(7, b"-")
        && digits(8..10)
        && is(10, b"Tt")
        && digits(11..13)
        && is(13, b":")
        && digits(14..16)
        && is(16, b":")
        && digits(17..19);
    if !shaped {
        return None;
    }
    let (whole, rest) = text.split_at_checked(19)?;
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.bytes().position(|b| !b.is_ascii_digit())?;
            if end == 0 {
                return None;
            }
            let (fraction, offset) = rest.split_at(end);
            (&fraction[..end.min(9)], offset)
        }
        None => ("0", rest),
    };
    let o = offset.as_bytes();
    let offset_shaped = matches!(o, b"Z" | b"z")
        || (o.len() == 6
            && matches!(o[0], b'+' | b'-')
            && o[3] == b':'
            && [1, 2, 4, 5].iter().all(|&at| o[at].is_ascii_digit()));
    if !offset_shaped {
        return None;
    }
    format!("{whole}.{fraction}{offset}")
        .to_ascii_uppercase()
        .parse()
        .ok()
}

pub(crate) fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    let (mut seconds, mut nanos) = (time.as_second(), time.subsec_nanosecond());
    // jiff gives both the time's sign; protobuf wants nanoseconds forward.
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    prost_types::Timestamp { seconds, nanos }
}

/// None for a time that does not exist.
pub(crate) fn from_proto(time: prost_types::Timestamp) -> Option<Timestamp> {
    mesh::clock::from_proto(time.seconds, time.nanos).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_rfc_3339_is_a_time() {
        for good in [
            "2026-11-24T06:00:00Z",
            "2026-11-24t06:00:00z",
            "2026-11-24T06:00:00.5+03:00",
            "2026-11-24T06:00:00.123456789123-00:00",
        ] {
            assert!(parse_time(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24 06:00:00Z",
            "2026-11-24T06:00:00",
            "2026-11-24T06:00Z",
            "2026-11-24T06:00:00.Z",
            "2026-11-24T06:00:00+0300",
            "2026-11-24T06:00:00+03",
            "2026-11-24T06:00:00Z[UTC]",
            "2026-13-24T06:00:00Z",
            "2026-11-24T26:00:00Z",
            "1700000000",
            "2026-11-24T06:00:00\u{416}",
        ] {
            assert!(parse_time(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn times_before_the_epoch_keep_their_instant() {
        let time: Timestamp = "1969-12-31T23:59:59.5Z".parse().expect("a time");
        let proto = to_proto(time);
        assert_eq!((proto.seconds, proto.nanos), (-1, 500_000_000));
        assert_eq!(from_proto(proto), Some(time));
    }

    #[test]
    fn partner_ids_are_short_and_plain() {
        for good in ["d", "door-1", "A.b_c:9-", &"x".repeat(128)] {
            assert!(is_partner_id(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "\u{434}", "a\0", &"x".repeat(129)] {
            assert!(!is_partner_id(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*") {
            let _ = parse_time(&text);
        }
    }
}
