//! What happened at the partner's without us.

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    Key,
    Fob,
}

impl CredentialKind {
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Key => 1,
            Self::Fob => 2,
        }
    }

    pub(crate) fn from_code(code: i16) -> Self {
        if code == 2 { Self::Fob } else { Self::Key }
    }
}

/// What a resident can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldingKind {
    Vehicle,
    Key,
    Fob,
}

impl HoldingKind {
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Vehicle => 1,
            Self::Key => 2,
            Self::Fob => 3,
        }
    }

    pub(crate) fn from_code(code: i16) -> Self {
        match code {
            2 => Self::Key,
            3 => Self::Fob,
            _ => Self::Vehicle,
        }
    }
}

impl From<CredentialKind> for HoldingKind {
    fn from(kind: CredentialKind) -> Self {
        match kind {
            CredentialKind::Key => Self::Key,
            CredentialKind::Fob => Self::Fob,
        }
    }
}

/// An opening by key or fob as the partner told it.
pub(crate) struct CredentialOpening {
    pub(crate) credential_id: Zeroizing<String>,
    pub(crate) opened_at: Timestamp,
    pub(crate) device_id: Option<String>,
    pub(crate) event_id: Option<String>,
}

/// The same as stored.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) kind: CredentialKind,
    pub(crate) partner: Uuid,
    pub(crate) device_id: Option<String>,
    pub(crate) device_known: bool,
    pub(crate) holder: Option<Uuid>,
    pub(crate) opened_at: Timestamp,
    pub(crate) received_at: Timestamp,
}

/// A partner's word on one of its commands.
#[derive(Clone, Debug)]
pub(crate) struct CommandResult {
    pub(crate) command_id: Uuid,
    pub(crate) opening_id: Uuid,
    pub(crate) opened: bool,
    pub(crate) at: Timestamp,
    pub(crate) event_id: Option<String>,
}
