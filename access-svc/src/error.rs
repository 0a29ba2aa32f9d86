//! What can go wrong, and its one mapping to gRPC: each reason is the
//! partner contract's code in upper case where the contract has one.

use mesh::{
    crypto::CryptoError,
    custody::CustodyError,
    db::{WriteError, named_key::NamedKeyError},
    error::{DOMAIN, status, status_with},
    keyring::KeyringError,
    limit::Limited,
};
use sea_orm::DbErr;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use uuid::Uuid;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the token is not valid")]
    InvalidToken,
    #[error(transparent)]
    Limited(#[from] Limited),
    #[error("the token was used already")]
    TokenAlreadyUsed(Uuid),
    #[error("the token or its client may not do this")]
    InsufficientScope,
    #[error("the call is unsigned, signed wrongly or stale")]
    InvalidSignature,
    #[error("{detail}")]
    Body { reason: String, detail: String },
    #[error("a subject token takes no evidence in the body")]
    ConflictingSubject,
    #[error("a client-only token needs evidence in the body")]
    EvidenceRequired,
    #[error("the plate is not one: {0}")]
    InvalidPlate(String),
    #[error("the vector or its model is refused")]
    InvalidFace { reason: &'static str },
    #[error("the same Idempotency-Key came with another body")]
    IdempotencyMismatch,
    #[error("the first request of this Idempotency-Key is still running")]
    InProgress,
    #[error("events are invalid")]
    InvalidEvents(Vec<(u32, String)>),
    #[error("{field} {detail}")]
    InvalidField {
        field: &'static str,
        detail: &'static str,
    },
    #[error("no such {0}")]
    NotFound(Noun),
    #[error("{}", .0.taken())]
    Exists(Noun),
    #[error("{0} is in use")]
    InUse(Noun),
    #[error("it has changed since it was read")]
    EtagMismatch,
    #[error("{service} refused: {message}")]
    Refused {
        service: &'static str,
        code: Code,
        reason: String,
        message: String,
    },
    #[error("{0} cannot be asked")]
    Dependency(&'static str),
    #[error("{service} answered {code:?}")]
    UnexpectedAnswer { service: &'static str, code: Code },
    #[error("the probe could not be judged")]
    NotJudged,
    #[error("the work was given up")]
    GivenUp,
    #[error("the rights have ended, and the rest of the erasure follows by itself")]
    ErasureUnfinished(Uuid),
    #[error("this consent, or one given after it, has been withdrawn")]
    ConsentWithdrawn,
    #[error("the face opens nothing any more, and the rest follows by itself")]
    WithdrawalUnfinished,
    #[error("it is done, and the biometric store follows by itself")]
    GalleriesUnfinished,
    #[error("the store is empty, or being filled from a backup")]
    EmptyStore,
    #[error("nothing was ever told up to this cursor")]
    CursorUnknown,
    #[error("too many follow already")]
    TooManyFollowers,
    #[error("a row cannot be read: {0}")]
    Corrupt(&'static str),
    #[error("another replica has been faster")]
    Overtaken,
    #[error("the audit log is not what its checkpoint signs")]
    BrokenLog,
    #[error(transparent)]
    NamedKey(#[from] NamedKeyError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    #[error("an import has at most 20,000 rows and 32 MiB")]
    ImportTooLarge,
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Write(#[from] WriteError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Partner,
    Site,
    Building,
    Entrance,
    Device,
    DeviceGroup,
    Household,
    Resident,
    Guest,
    Consent,
    Grant,
    Holding,
    ExternalId,
    Opening,
    Command,
    Erasure,
    Entry,
}

impl Noun {
    fn name(self) -> &'static str {
        match self {
            Self::Partner => "PARTNER",
            Self::Site => "SITE",
            Self::Building => "BUILDING",
            Self::Entrance => "ENTRANCE",
            Self::Device => "DEVICE",
            Self::DeviceGroup => "DEVICE_GROUP",
            Self::Household => "HOUSEHOLD",
            Self::Resident => "RESIDENT",
            Self::Guest => "GUEST",
            Self::Consent => "CONSENT",
            Self::Grant => "GRANT",
            Self::Holding => "HOLDING",
            Self::ExternalId => "EXTERNAL_ID",
            Self::Opening => "OPENING",
            Self::Command => "COMMAND",
            Self::Erasure => "ERASURE",
            Self::Entry => "ENTRY",
        }
    }
}

impl Noun {
    /// Why there cannot be another one.
    fn taken(self) -> String {
        match self {
            Self::Holding => "it is held for a part of that time already".into(),
            noun => format!("{noun} exists already"),
        }
    }
}

impl std::fmt::Display for Noun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name().to_lowercase().replace('_', " "))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let (code, reason) = match error {
            Error::Limited(limited) => return (&limited).into(),
            Error::InvalidToken => (Code::Unauthenticated, "INVALID_TOKEN"),
            Error::TokenAlreadyUsed(opening) => {
                return status_with(
                    Code::Unauthenticated,
                    "TOKEN_ALREADY_USED",
                    message,
                    [("opening_id", opening.to_string())],
                );
            }
            Error::InsufficientScope => (Code::PermissionDenied, "INSUFFICIENT_SCOPE"),
            Error::InvalidSignature => (Code::Unauthenticated, "INVALID_SIGNATURE"),
            Error::Body { reason, .. } => return status(Code::InvalidArgument, &reason, message),
            Error::ConflictingSubject => (Code::InvalidArgument, "CONFLICTING_SUBJECT"),
            Error::EvidenceRequired => (Code::InvalidArgument, "EVIDENCE_REQUIRED"),
            Error::InvalidPlate(_) => (Code::InvalidArgument, "INVALID_PLATE"),
            Error::InvalidFace { reason } => (Code::InvalidArgument, reason),
            Error::IdempotencyMismatch => (Code::InvalidArgument, "IDEMPOTENCY_MISMATCH"),
            Error::InProgress => (Code::Aborted, "IN_PROGRESS"),
            Error::CursorUnknown => (Code::OutOfRange, "CURSOR_UNKNOWN"),
            Error::TooManyFollowers => (Code::ResourceExhausted, "TOO_MANY_FOLLOWERS"),
            Error::ImportTooLarge => (Code::ResourceExhausted, "IMPORT_TOO_LARGE"),
            Error::InvalidEvents(faults) => return invalid_events(message, faults),
            Error::InvalidField { .. } => (Code::InvalidArgument, "INVALID_FIELD"),
            Error::NotFound(noun) => {
                let reason = format!("{}_NOT_FOUND", noun.name());
                return status(Code::NotFound, &reason, message);
            }
            Error::Exists(noun) => {
                let reason = format!("{}_EXISTS", noun.name());
                return status(Code::AlreadyExists, &reason, message);
            }
            Error::InUse(noun) => {
                let reason = format!("{}_IN_USE", noun.name());
                return status(Code::FailedPrecondition, &reason, message);
            }
            Error::EtagMismatch => (Code::Aborted, "ETAG_MISMATCH"),
            Error::Refused { code, reason, .. } => return status(code, &reason, message),
            Error::ErasureUnfinished(pseudonym) => {
                return status_with(
                    Code::Unavailable,
                    "ERASURE_UNFINISHED",
                    message,
                    [("pseudonym", pseudonym.to_string())],
                );
            }
            Error::ConsentWithdrawn => (Code::FailedPrecondition, "CONSENT_WITHDRAWN"),
            Error::WithdrawalUnfinished => (Code::Unavailable, "WITHDRAWAL_UNFINISHED"),
            Error::GalleriesUnfinished => (Code::Unavailable, "GALLERIES_UNFINISHED"),
            Error::EmptyStore => (Code::Unavailable, "UNAVAILABLE"),
            Error::Custody(error) => return error.into(),
            Error::Dependency(_)
            | Error::NotJudged
            | Error::GivenUp
            | Error::Overtaken
            | Error::NamedKey(_)
            | Error::Database(_)
            | Error::Write(_) => {
                tracing::warn!(error = %message, "unavailable");
                return status(Code::Unavailable, "UNAVAILABLE", "temporarily unavailable");
            }
            Error::UnexpectedAnswer { .. }
            | Error::Corrupt(_)
            | Error::BrokenLog
            | Error::Keyring(_)
            | Error::Crypto(_) => {
                tracing::error!(error = %message, "internal error");
                return Status::internal("internal error");
            }
        };
        status(code, reason, message)
    }
}

fn invalid_events(message: String, faults: Vec<(u32, String)>) -> Status {
    let mut details = ErrorDetails::with_error_info("INVALID_EVENT", DOMAIN, []);
    details.set_bad_request(
        faults
            .into_iter()
            .map(|(index, detail)| FieldViolation::new(format!("events[{index}]"), detail))
            .collect::<Vec<_>>(),
    );
    Status::with_error_details(Code::InvalidArgument, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_already_is_told_as_its_kind_is_taken() {
        let told = |noun| Status::from(Error::Exists(noun));
        let device = told(Noun::Device);
        assert_eq!(device.message(), "device exists already");
        let held = told(Noun::Holding);
        assert_eq!(held.message(), "it is held for a part of that time already");
        let reason = mesh::error::reason(&held).map(|(reason, _)| reason);
        assert_eq!(reason.as_deref(), Some("HOLDING_EXISTS"));
    }
}
