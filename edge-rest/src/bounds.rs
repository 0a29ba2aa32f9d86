//! What a stranger is granted before and while he is listened to. Fixed; a
//! value, so that tests need not wait for it.

use std::time::Duration;

use mesh::server::HandshakeLimits;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) handshakes: HandshakeLimits,
    /// For the head of a request, the first of a connection included.
    pub(crate) head: Duration,
    /// For a whole request, its body included.
    pub(crate) request: Duration,
    /// Of one connection, at once.
    pub(crate) streams: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            handshakes: HandshakeLimits::default(),
            head: Duration::from_secs(5),
            request: Duration::from_secs(10),
            streams: 128,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_the_documents_say() {
        let bounds = Bounds::default();
        assert_eq!(bounds.handshakes.timeout, Duration::from_secs(5));
        assert_eq!(bounds.head, Duration::from_secs(5));
        assert_eq!(bounds.request, Duration::from_secs(10));
        assert_eq!(bounds.streams, 128);
    }
}
