//! Scopes (RFC 6749 section 3.3) and the permissions of a registration.

use crate::error::Error;

/// What a token can be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    DoorOpen,
    BarrierOpen,
    EventsWrite,
}

/// What a client may offer as evidence; never in a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Permission {
    SubjectFace,
    SubjectPlate,
}

impl Scope {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DoorOpen => "door:open",
            Self::BarrierOpen => "barrier:open",
            Self::EventsWrite => "events:write",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::DoorOpen, Self::BarrierOpen, Self::EventsWrite]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }
}

impl Permission {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SubjectFace => "subject:face",
            Self::SubjectPlate => "subject:plate",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::SubjectFace, Self::SubjectPlate]
            .into_iter()
            .find(|permission| permission.as_str() == text)
    }
}

/// The scopes granted: those asked for, all of them being allowed, or all
/// allowed when none is asked for.
pub(crate) fn grant(asked: &str, allowed: &[Scope]) -> Result<Vec<Scope>, Error> {
    if allowed.is_empty() {
        return Err(Error::InvalidScope);
    }
    let mut granted = Vec::new();
    for name in asked.split(' ').filter(|name| !name.is_empty()) {
        let scope = Scope::parse(name)
            .filter(|scope| allowed.contains(scope))
            .ok_or(Error::InvalidScope)?;
        if !granted.contains(&scope) {
            granted.push(scope);
        }
    }
    if granted.is_empty() {
        granted = allowed.to_vec();
    }
    Ok(granted)
}

pub(crate) fn join(scopes: &[Scope]) -> String {
    scopes
        .iter()
        .map(|scope| scope.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scopes_are_granted_as_asked_or_all() {
        let allowed = [Scope::DoorOpen, Scope::EventsWrite];
        assert_eq!(grant("", &allowed).expect("all"), allowed);
        assert_eq!(
            grant("door:open", &allowed).expect("one"),
            [Scope::DoorOpen]
        );
        assert_eq!(
            grant("door:open door:open", &allowed).expect("one").len(),
            1
        );
        for refused in [
            "barrier:open",
            "door:open barrier:open",
            "subject:face",
            "x",
        ] {
            assert!(
                matches!(grant(refused, &allowed), Err(Error::InvalidScope)),
                "{refused}"
            );
        }
        assert!(matches!(grant("", &[]), Err(Error::InvalidScope)));
    }

    proptest! {
        #[test]
        fn nothing_beyond_what_is_allowed_is_ever_granted(asked in "[a-z: ]{0,40}") {
            if let Ok(granted) = grant(&asked, &[Scope::BarrierOpen]) {
                prop_assert_eq!(granted, vec![Scope::BarrierOpen]);
            }
        }
    }
}
