//! Optimistic concurrency: who updates says which state was read.

use crate::error::Error;

/// How often a row has changed, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) i64);

impl Version {
    pub(crate) const FIRST: Self = Self(1);

    /// As callers see it; to them it means nothing.
    pub(crate) fn etag(self) -> String {
        format!("\"{:x}\"", self.0)
    }
}

/// The state that a caller wants to change; none is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IfMatch(Option<String>);

impl IfMatch {
    /// None for the empty text.
    pub(crate) fn of(etag: String) -> Self {
        Self(Some(etag).filter(|etag| !etag.is_empty()))
    }

    pub(crate) fn check(&self, current: Version) -> Result<(), Error> {
        match &self.0 {
            Some(etag) if *etag != current.etag() => Err(Error::EtagMismatch),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_state_that_was_read_is_changed() {
        let current = Version(7);
        let good = IfMatch::of(current.etag());
        assert!(good.check(current).is_ok());
        assert!(IfMatch::of(String::new()).check(current).is_ok());
        for other in [Version(6).etag(), "7".into(), "*".into()] {
            let mismatch = IfMatch::of(other).check(current);
            assert!(matches!(mismatch, Err(Error::EtagMismatch)));
        }
    }
}
