//! Doors and barriers.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{etag::Version, passage::Passage};
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
