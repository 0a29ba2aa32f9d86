//! Time as a parameter: the one place that reads the wall clock.

use std::sync::Arc;

use jiff::Timestamp;

/// A source of the current time. Durations are measured with
/// `std::time::Instant`, never with this.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the wall clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl SystemClock {
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

/// Microseconds since the Unix epoch: how times stand in databases.
pub fn to_micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// The reverse of [`to_micros`]; a value out of range becomes the nearest end.
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// A protobuf timestamp's seconds and nanoseconds; errors when out of range.
pub fn from_proto(seconds: i64, nanos: i32) -> Result<Timestamp, jiff::Error> {
    Timestamp::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micros_survive_a_round_trip() {
        let time: Timestamp = "2026-11-24T06:00:00.123456Z".parse().expect("a timestamp");
        assert_eq!(from_micros(to_micros(time)), time);
        assert_eq!(from_micros(i64::MAX), Timestamp::MAX);
    }
}
