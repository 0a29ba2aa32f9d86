//! How fast a client may ask, and how often it may be wrong about a face.

use std::{num::NonZeroU32, time::Duration};

use mesh::limit::Quota;

use super::client::LONGEST_LIFETIME_S;
use crate::error::Error;

const MOST: u32 = 100_000;

/// None is the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) requests_per_second: Option<NonZeroU32>,
    pub(crate) burst: Option<NonZeroU32>,
    pub(crate) misses_per_minute: Option<NonZeroU32>,
    pub(crate) device_misses_per_minute: Option<NonZeroU32>,
}

const fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("not zero")
}

const REQUESTS_PER_SECOND: NonZeroU32 = number(50);
const BURST: NonZeroU32 = number(100);
const MISSES: NonZeroU32 = number(60);
/// Below a client's, so that one person before one camera closes one door.
const DEVICE_MISSES: NonZeroU32 = number(20);
/// Wrong proofs for one client from one address, and from one address in all.
const FAILURES: NonZeroU32 = number(30);
/// Tokens of one client that are revoked and have not expired: every verifier
/// holds them all.
const REVOCATIONS: NonZeroU32 = number(10_000);
/// When a client that has so many may try again.
pub(crate) const REVOCATIONS_RETRY: Duration = Duration::from_secs(60);

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (field, value) in [
            ("limits.requests_per_second", self.requests_per_second),
            ("limits.burst", self.burst),
            ("limits.misses_per_minute", self.misses_per_minute),
            (
                "limits.device_misses_per_minute",
                self.device_misses_per_minute,
            ),
        ] {
            if value.is_some_and(|value| value.get() > MOST) {
                return Err(Error::InvalidField {
                    field,
                    detail: "must be at most 100,000",
                });
            }
        }
        Ok(())
    }

    pub(crate) fn in_force(&self) -> LimitsInForce {
        let rate = self.requests_per_second.unwrap_or(REQUESTS_PER_SECOND);
        LimitsInForce {
            requests_per_second: rate,
            burst: self.burst.unwrap_or(BURST.max(rate)),
            misses_per_minute: self.misses_per_minute.unwrap_or(MISSES),
            device_misses_per_minute: self.device_misses_per_minute.unwrap_or(DEVICE_MISSES),
        }
    }
}

/// Limits with the server's defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitsInForce {
    pub(crate) requests_per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
    pub(crate) misses_per_minute: NonZeroU32,
    pub(crate) device_misses_per_minute: NonZeroU32,
}

impl LimitsInForce {
    pub(crate) fn requests(&self) -> Quota {
        Quota::per_second("client", self.requests_per_second, self.burst)
    }

    pub(crate) fn misses(&self) -> Quota {
        Quota::per_minute("faces", self.misses_per_minute)
    }

    pub(crate) fn device_misses(&self) -> Quota {
        Quota::per_minute("device-faces", self.device_misses_per_minute)
    }
}

/// What may be wrong of one client's name from one address, or of one address.
pub(crate) fn failures() -> Quota {
    Quota::per_minute("authentication", FAILURES)
}

/// What one client may have revoked before its time.
pub(crate) fn revocations() -> Quota {
    Quota {
        name: "revocations",
        count: REVOCATIONS,
        period: Duration::from_secs(u64::from(LONGEST_LIFETIME_S)),
        burst: REVOCATIONS,
    }
}
