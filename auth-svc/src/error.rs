//! What can go wrong, and its one mapping to gRPC. The OAuth errors are those
//! of RFC 6749 section 5.2 and RFC 8707 section 2.

use mesh::{
    crypto::CryptoError, db::WriteError, error::status, keyring::KeyringError, limit::Limited,
};
use sea_orm::DbErr;
use tonic::{Code, Status};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("client authentication failed")]
    InvalidClient,
    #[error("nobody was recognised, or the evidence cannot be used")]
    InvalidGrant(Unrecognised),
    #[error("the client may not offer this evidence")]
    UnauthorizedClient,
    #[error("only client_credentials is supported")]
    UnsupportedGrantType,
    #[error("the scope asked for is not among those allowed")]
    InvalidScope,
    #[error("the resource is not this API")]
    InvalidTarget,
    #[error("{field} {detail}")]
    InvalidField {
        field: &'static str,
        detail: &'static str,
    },
    #[error("no such client")]
    ClientNotFound,
    #[error("two secrets live already; delete one or let one end")]
    TooManySecrets,
    #[error("the client has a webhook secret already; rotate it")]
    WebhookSecretExists,
    #[error("the client has no webhook secret to rotate")]
    NoWebhookSecret,
    #[error(transparent)]
    Limited(#[from] Limited),
    #[error("a stored {0} cannot be read")]
    Corrupt(&'static str),
    #[error("{0} cannot be asked")]
    Dependency(&'static str),
    #[error("{service} answered {code:?}")]
    UnexpectedAnswer { service: &'static str, code: Code },
    #[error("a token cannot be signed")]
    Signing,
    #[error("the audit's outbox cannot be written")]
    Outbox,
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why evidence names nobody: the audit knows, the client does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecognised {
    Unknown,
    Ambiguous,
    Stale,
    Replayed,
}

impl Error {
    /// For the audit; empty where the code says all.
    pub(crate) fn cause(&self) -> &'static str {
        match self {
            Self::InvalidGrant(Unrecognised::Unknown) => "unknown",
            Self::InvalidGrant(Unrecognised::Ambiguous) => "ambiguous",
            Self::InvalidGrant(Unrecognised::Stale) => "stale",
            Self::InvalidGrant(Unrecognised::Replayed) => "replayed",
            _ => "",
        }
    }

    /// RFC 6749 section 5.2's word for a refusal; none for a failure of ours.
    pub(crate) fn oauth_code(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            _ => return None,
        })
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let (code, reason) = match error {
            Error::InvalidRequest(_) => (Code::InvalidArgument, "INVALID_REQUEST"),
            Error::InvalidClient => (Code::Unauthenticated, "INVALID_CLIENT"),
            Error::InvalidGrant(_) => (Code::FailedPrecondition, "INVALID_GRANT"),
            Error::UnauthorizedClient => (Code::PermissionDenied, "UNAUTHORIZED_CLIENT"),
            Error::UnsupportedGrantType => (Code::InvalidArgument, "UNSUPPORTED_GRANT_TYPE"),
            Error::InvalidScope => (Code::InvalidArgument, "INVALID_SCOPE"),
            Error::InvalidTarget => (Code::InvalidArgument, "INVALID_TARGET"),
            Error::InvalidField { .. } => (Code::InvalidArgument, "INVALID_FIELD"),
            Error::ClientNotFound => (Code::NotFound, "CLIENT_NOT_FOUND"),
            Error::TooManySecrets => (Code::FailedPrecondition, "TOO_MANY_SECRETS"),
            Error::WebhookSecretExists => (Code::FailedPrecondition, "WEBHOOK_SECRET_EXISTS"),
            Error::NoWebhookSecret => (Code::FailedPrecondition, "NO_WEBHOOK_SECRET"),
            Error::Limited(limited) => return (&limited).into(),
            Error::Dependency(_) | Error::Outbox | Error::Database(_) | Error::Write(_) => {
                tracing::warn!(error = %message, "temporarily unavailable");
                return status(
                    Code::Unavailable,
                    "TEMPORARILY_UNAVAILABLE",
                    "temporarily unavailable",
                );
            }
            Error::UnexpectedAnswer { .. }
            | Error::Signing
            | Error::Corrupt(_)
            | Error::Keyring(_)
            | Error::Crypto(_) => {
                tracing::error!(error = %message, "internal error");
                return Status::internal("internal error");
            }
        };
        status(code, reason, message)
    }
}
