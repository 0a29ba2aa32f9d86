//! Times on the command line, in messages and in tables.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

const NEITHER: &str = "neither RFC 3339 such as 2026-12-31T21:00:00Z nor a date such as 2026-12-31";

/// RFC 3339, or a date, which means to the end of that day in UTC.
pub(crate) fn parse_end(text: &str) -> Result<Timestamp, String> {
    if let Ok(date) = text.parse::<Date>()
        && text.len() == "2026-01-31".len()
    {
        return date
            .tomorrow()
            .and_then(|next| TimeZone::UTC.to_timestamp(next.into()))
            .map_err(|error| error.to_string());
    }
    parse(text).map_err(|_| NEITHER.into())
}

/// RFC 3339, or a date, which means from the beginning of that day in UTC.
pub(crate) fn parse_begin(text: &str) -> Result<Timestamp, String> {
    if let Ok(date) = text.parse::<Date>()
        && text.len() == "2026-01-31".len()
    {
        let midnight = TimeZone::UTC.to_timestamp(date.into());
        return midnight.map_err(|error| error.to_string());
    }
    parse(text).map_err(|_| NEITHER.into())
}

/// RFC 3339.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "not RFC 3339 such as 2026-12-31T21:00:00Z".into())
}

pub(crate) fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
    .normalized()
}

pub(crate) fn from_proto(time: &prost_types::Timestamp) -> Option<Timestamp> {
    mesh::clock::from_proto(time.seconds, time.nanos).ok()
}

/// For a table: whole seconds, UTC; a dash where there is none.
pub(crate) fn show(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(from_proto)
        .map_or_else(|| "-".into(), |time| format!("{time:.0}"))
}

trait Normalized {
    fn normalized(self) -> Self;
}

impl Normalized for prost_types::Timestamp {
    /// jiff counts the fraction away from zero, protobuf always forwards.
    fn normalized(mut self) -> Self {
        if self.nanos < 0 {
            self.seconds -= 1;
            self.nanos += 1_000_000_000;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_reaches_to_its_end() {
        let end = parse_end("2026-12-31").expect("a date");
        assert_eq!(end.to_string(), "2027-01-01T00:00:00Z");
        let begin = parse_begin("2026-12-31").expect("a date");
        assert_eq!(begin.to_string(), "2026-12-31T00:00:00Z");
        let exact = parse_end("2026-12-31T12:00:00+03:00").expect("a time");
        assert_eq!(exact.to_string(), "2026-12-31T09:00:00Z");
        for wrong in [
            "2026-02-30",
            "tomorrow",
            "2026-12-31T12:00",
            "",
            "9999-12-31",
        ] {
            assert!(parse_end(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_go_to_the_contracts_and_back() {
        for text in ["2026-11-24T06:00:00.123456789Z", "1969-12-31T23:59:59.5Z"] {
            let time = parse(text).expect("a time");
            let sent = to_proto(time);
            assert!(sent.nanos >= 0);
            assert_eq!(from_proto(&sent), Some(time));
        }
        assert_eq!(
            show(Some(&to_proto(
                parse("2026-11-24T06:00:00.9Z").expect("a time")
            ))),
            "2026-11-24T06:00:00Z"
        );
        assert_eq!(show(None), "-");
    }
}
