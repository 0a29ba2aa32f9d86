//! How fast a client may ask, and how often it may be wrong about a face.

use std::num::NonZeroU32;

use mesh::limit::Quota;

/// As auth-svc says they are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientLimits {
    pub(crate) requests_per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
    pub(crate) misses_per_minute: NonZeroU32,
    pub(crate) device_misses_per_minute: NonZeroU32,
}

impl ClientLimits {
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
