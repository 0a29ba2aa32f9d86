//! A request to open, decided; and what became of its command.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    decision::Check,
    device::{DeviceKind, Means},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandStatus {
    Pending,
    Delivered,
    Opened,
    Failed,
    Rejected,
    Expired,
    Unknown,
}

impl CommandStatus {
    const ALL: [Self; 7] = [
        Self::Pending,
        Self::Delivered,
        Self::Opened,
        Self::Failed,
        Self::Rejected,
        Self::Expired,
        Self::Unknown,
    ];

    /// As the database and the contract number it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Pending => 1,
            Self::Delivered => 2,
            Self::Opened => 3,
            Self::Failed => 4,
            Self::Rejected => 5,
            Self::Expired => 6,
            Self::Unknown => 7,
        }
    }

    /// As the audit log and partners call it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn from_code(code: i16) -> Self {
        Self::ALL
            .into_iter()
            .find(|status| status.code() == code)
            .unwrap_or(Self::Unknown)
    }

    /// Statuses that a partner's confirmation may still change: it knows better
    /// than an answer that was lost, and no better than its own last word.
    pub(crate) const OPEN_TO_CONFIRMATION: [Self; 3] =
        [Self::Pending, Self::Delivered, Self::Unknown];
}

#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) id: Uuid,
    pub(crate) status: CommandStatus,
    /// What the request to open was told, none while it waits.
    pub(crate) answered: Option<CommandStatus>,
    pub(crate) expires_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) id: Uuid,
    pub(crate) partner: Uuid,
    pub(crate) site: Uuid,
    pub(crate) device_id: String,
    pub(crate) kind: DeviceKind,
    pub(crate) client_id: String,
    pub(crate) means: Means,
    /// Random name of the resident in logs.
    pub(crate) audit_pseudonym: Option<Uuid>,
    /// Empty when granted.
    pub(crate) denial_code: Option<String>,
    pub(crate) checks: Vec<Check>,
    pub(crate) command: Option<Command>,
    pub(crate) decided_at: Timestamp,
}

impl Opening {
    /// As the request to open was told, whatever was confirmed since.
    pub(crate) fn into_answered(mut self) -> Self {
        if let Some(command) = &mut self.command
            && let Some(answered) = command.answered
        {
            command.status = answered;
        }
        self
    }
}
