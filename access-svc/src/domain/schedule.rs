//! When a right holds: weekly windows in the device's time zone.

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::error::Error;

const DAY: u16 = 24 * 60;

/// A span of the day on some days of the week. A window whose end is not after
/// its start ends on the day after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// ISO 8601: 1 is Monday, 7 is Sunday.
    pub(crate) weekdays: Vec<u8>,
    /// Minutes since midnight, 0 to 1439.
    pub(crate) from: u16,
    /// Exclusive, 1 to 1440.
    pub(crate) to: u16,
}

impl Window {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let fault = |detail| {
            Err(Error::InvalidField {
                field: "windows",
                detail,
            })
        };
        if self.weekdays.is_empty() || !self.weekdays.iter().all(|day| (1..=7).contains(day)) {
            return fault("weekdays must be 1 (Monday) to 7 (Sunday), at least one");
        }
        if self.from >= DAY {
            return fault("from_minute must be 0 to 1439");
        }
        if !(1..=DAY).contains(&self.to) {
            return fault("to_minute must be 1 to 1440");
        }
        Ok(())
    }

    fn holds(&self, weekday: Weekday, minute: u16) -> bool {
        let on = |day: Weekday| {
            u8::try_from(day.to_monday_one_offset()).is_ok_and(|d| self.weekdays.contains(&d))
        };
        if self.from < self.to {
            on(weekday) && (self.from..self.to).contains(&minute)
        } else {
            (on(weekday) && minute >= self.from) || (on(weekday.previous()) && minute < self.to)
        }
    }
}

/// Whether a right with these windows holds now; without windows it always does.
/// The wall clock of the device's zone counts, daylight saving included.
pub(crate) fn is_open(windows: &[Window], now: Timestamp, zone: &TimeZone) -> bool {
    let local = zone.to_datetime(now);
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute()));
    let Ok(minute) = minute else {
        return false;
    };
    windows.is_empty()
        || windows
            .iter()
            .any(|window| window.holds(local.weekday(), minute))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    #[test]
    fn a_window_is_read_in_the_devices_zone() {
        // Tuesday.
        let windows = [Window {
            weekdays: vec![2],
            from: 8 * 60,
            to: 20 * 60,
        }];
        let moscow = zone("Europe/Moscow");
        assert!(is_open(&windows, at("2026-11-24T05:00:00Z"), &moscow));
        assert!(!is_open(&windows, at("2026-11-24T04:59:59Z"), &moscow));
        assert!(!is_open(&windows, at("2026-11-24T17:00:00Z"), &moscow));
        assert!(is_open(
            &windows,
            at("2026-11-24T08:00:00Z"),
            &TimeZone::UTC
        ));
        assert!(!is_open(
            &windows,
            at("2026-11-25T08:00:00Z"),
            &TimeZone::UTC
        ));
        assert!(is_open(&[], at("2026-11-25T08:00:00Z"), &TimeZone::UTC));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_began() {
        // Friday 22:00 to Saturday 06:00.
        let windows = [Window {
            weekdays: vec![5],
            from: 22 * 60,
            to: 6 * 60,
        }];
        let utc = TimeZone::UTC;
        assert!(is_open(&windows, at("2026-11-27T22:00:00Z"), &utc));
        assert!(is_open(&windows, at("2026-11-28T05:59:00Z"), &utc));
        assert!(!is_open(&windows, at("2026-11-28T06:00:00Z"), &utc));
        assert!(!is_open(&windows, at("2026-11-28T22:00:00Z"), &utc));
        assert!(!is_open(&windows, at("2026-11-27T05:00:00Z"), &utc));
    }

    #[test]
    fn daylight_saving_moves_the_window_with_the_wall_clock() {
        let windows = [Window {
            weekdays: vec![1],
            from: 9 * 60,
            to: 10 * 60,
        }];
        let berlin = zone("Europe/Berlin");
        assert!(is_open(&windows, at("2026-07-06T07:30:00Z"), &berlin));
        assert!(!is_open(&windows, at("2026-07-06T08:30:00Z"), &berlin));
        assert!(is_open(&windows, at("2026-12-07T08:30:00Z"), &berlin));
    }

    /// On 2026-03-29 Berlin's clocks go from 02:00 to 03:00, on 2026-10-25 from 03:00 back to
    /// 02:00, both at 01:00 UTC.
    #[test]
    fn an_hour_that_is_left_out_or_comes_twice_is_as_the_wall_clock_has_it() {
        let berlin = zone("Europe/Berlin");
        let window = |weekday, from, to| Window {
            weekdays: vec![weekday],
            from,
            to,
        };
        let open = |window: &Window, text| is_open(std::slice::from_ref(window), at(text), &berlin);
        // Sunday 02:15 to 02:45: never, or twice.
        let within = window(7, 2 * 60 + 15, 2 * 60 + 45);
        for never in [
            "2026-03-29T00:59:59Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:30:00Z",
        ] {
            assert!(!open(&within, never), "{never}");
        }
        for (time, expected) in [
            ("2026-10-25T00:14:59Z", false),
            ("2026-10-25T00:15:00Z", true),
            ("2026-10-25T00:45:00Z", false),
            ("2026-10-25T01:15:00Z", true),
            ("2026-10-25T01:45:00Z", false),
        ] {
            assert_eq!(open(&within, time), expected, "{time}");
        }
        // Sunday 01:30 to 03:30: an hour that day.
        let around = window(7, 90, 3 * 60 + 30);
        for (time, expected) in [
            ("2026-03-29T00:29:59Z", false),
            ("2026-03-29T00:30:00Z", true),
            ("2026-03-29T01:29:59Z", true),
            ("2026-03-29T01:30:00Z", false),
        ] {
            assert_eq!(open(&around, time), expected, "{time}");
        }
        // Saturday 22:00 to Sunday 06:00, whatever the night's length.
        let night = window(6, 22 * 60, 6 * 60);
        for (time, expected) in [
            ("2026-03-29T03:59:59Z", true),
            ("2026-03-29T04:00:00Z", false),
            ("2026-10-25T04:59:59Z", true),
            ("2026-10-25T05:00:00Z", false),
        ] {
            assert_eq!(open(&night, time), expected, "{time}");
        }
    }

    #[test]
    fn windows_that_are_none_are_refused() {
        for (weekdays, from, to) in [
            (vec![], 0, 60),
            (vec![0], 0, 60),
            (vec![8], 0, 60),
            (vec![1], 1440, 60),
            (vec![1], 0, 0),
            (vec![1], 0, 1441),
        ] {
            assert!(Window { weekdays, from, to }.validate().is_err());
        }
        assert!(
            Window {
                weekdays: vec![7],
                from: 0,
                to: 1440
            }
            .validate()
            .is_ok()
        );
    }
}
