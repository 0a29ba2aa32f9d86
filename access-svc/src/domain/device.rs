//! Doors and barriers.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{etag::Version, passage::Passage, syntax::is_partner_id};
use crate::error::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DeviceKind {
    Door,
    Barrier,
}

impl DeviceKind {
    /// The scope that opens devices of this kind.
    pub(crate) fn scope(self) -> &'static str {
        match self {
            Self::Door => "door:open",
            Self::Barrier => "barrier:open",
        }
    }

    /// As the database holds it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Door => 1,
            Self::Barrier => 2,
        }
    }

    pub(crate) fn from_code(code: i16) -> Self {
        if code == 2 { Self::Barrier } else { Self::Door }
    }
}

/// How the person is known: the evidence that opens a kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    Face,
    Plate,
}

impl Means {
    pub(crate) fn of(kind: DeviceKind) -> Self {
        match kind {
            DeviceKind::Door => Self::Face,
            DeviceKind::Barrier => Self::Plate,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Face => "face",
            Self::Plate => "plate",
        }
    }

    /// The permission that a client's registration needs to offer it.
    pub(crate) fn permission(self) -> &'static str {
        match self {
            Self::Face => "subject:face",
            Self::Plate => "subject:plate",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// Ours; partners never see it.
    pub(crate) uid: Uuid,
    pub(crate) partner: Uuid,
    /// The partner's own id.
    pub(crate) id: String,
    pub(crate) site: Uuid,
    /// Where it is said; of the same site.
    pub(crate) entrance: Option<Uuid>,
    pub(crate) kind: DeviceKind,
    pub(crate) name: String,
    /// IANA name.
    pub(crate) time_zone: String,
    pub(crate) disabled: bool,
    /// Its own; its site's come on top.
    pub(crate) passage: Passage,
    pub(crate) version: Version,
}

/// How callers name a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceName {
    pub(crate) partner: Uuid,
    /// The partner's own id.
    pub(crate) id: String,
}

impl Device {
    /// The zone in which schedules are read; checked when the device was made.
    pub(crate) fn zone(&self) -> TimeZone {
        TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC)
    }
}

/// The partner's own id of a device.
pub(crate) fn check_device_id(id: &str) -> Result<(), Error> {
    let fault = |detail| {
        Err(Error::InvalidField {
            field: "device_id",
            detail,
        })
    };
    if !is_partner_id(id) {
        return fault("must be 1 to 128 of [A-Za-z0-9._:-]");
    }
    // In a partner's URL they would mean another path.
    if matches!(id, "." | "..") {
        return fault("must not be . or ..");
    }
    Ok(())
}

pub(crate) fn check_time_zone(name: &str) -> Result<(), Error> {
    TimeZone::get(name)
        .map(|_| ())
        .map_err(|_| Error::InvalidField {
            field: "time_zone",
            detail: "is no IANA time zone",
        })
}

/// Devices that are granted together.
pub(crate) fn check_group(devices: &BTreeSet<DeviceName>) -> Result<(), Error> {
    if devices.len() > 1_000 {
        return Err(Error::InvalidField {
            field: "devices",
            detail: "are at most 1,000",
        });
    }
    Ok(())
}

/// Devices of all groups of one answer, which stays below the size that callers take.
const MOST_IN_ANSWER: i64 = 10_000;

/// How many groups of these sizes go into one answer.
pub(crate) fn how_many_fit(sizes: impl Iterator<Item = i64>) -> usize {
    let sums = sizes.scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= MOST_IN_ANSWER).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_fits_a_path() {
        assert!(check_device_id("door-1").is_ok());
        for wrong in ["", ".", "..", "a/b"] {
            assert!(check_device_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_group_has_so_many_devices_at_most() {
        let devices = |count: u32| {
            let name = |i: u32| DeviceName {
                partner: Uuid::nil(),
                id: i.to_string(),
            };
            (0..count).map(name).collect()
        };
        assert!(check_group(&devices(1_000)).is_ok());
        assert!(check_group(&devices(1_001)).is_err());
    }

    #[test]
    fn an_answer_holds_no_more_groups_than_callers_take() {
        let fit = |sizes: &[i64]| how_many_fit(sizes.iter().copied());
        assert_eq!(fit(&[]), 0);
        assert_eq!(fit(&[0; 50]), 50);
        assert_eq!(fit(&[1_000; 50]), 10);
        assert_eq!(fit(&[1_000, 9_000, 1, 0]), 2);
    }
}
