//! What can go wrong, and its one mapping to gRPC.

use face_index::{RotationError, VectorError};
use mesh::{
    crypto::CryptoError, custody::CustodyError, db::WriteError, error::status,
    keyring::KeyringError,
};
use sea_orm::DbErr;
use tonic::{Code, Status};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no model of that name is known")]
    UnknownModel,
    #[error("the vector {0}")]
    InvalidVector(#[from] VectorError),
    #[error("{field} {detail}")]
    InvalidField {
        field: &'static str,
        detail: &'static str,
    },
    #[error("nearly identical to a template of another subject")]
    TemplateOfAnotherSubject,
    #[error("too far from the subject's other templates")]
    TemplateDisagrees,
    #[error("the subject is not enrolled")]
    SubjectNotFound,
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Rotation(#[from] RotationError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error("other replicas are running: leave one, and try again")]
    OtherReplicas,
    #[error("the model is served: take it out of the configuration first")]
    ModelServed,
    #[error("a task ended early")]
    Task,
    #[error("the index is being loaded")]
    NotReady,
    #[error("the feed of changes has not been read for too long")]
    Stale,
    #[error("too many searches wait already")]
    Busy,
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::UnknownModel => status(Code::InvalidArgument, "UNKNOWN_FACE_MODEL", message),
            Error::InvalidVector(_) => {
                status(Code::InvalidArgument, "INVALID_FACE_VECTOR", message)
            }
            Error::InvalidField { .. } => status(Code::InvalidArgument, "INVALID_FIELD", message),
            Error::TemplateOfAnotherSubject => {
                status(Code::AlreadyExists, "TEMPLATE_OF_ANOTHER_SUBJECT", message)
            }
            Error::TemplateDisagrees => {
                status(Code::FailedPrecondition, "TEMPLATE_DISAGREES", message)
            }
            Error::SubjectNotFound => status(Code::NotFound, "SUBJECT_NOT_FOUND", message),
            Error::Database(_) | Error::Write(_) => {
                tracing::error!(error = %message, "store failed");
                Status::unavailable("the store cannot be reached")
            }
            Error::NotReady | Error::Stale => status(Code::Unavailable, "NOT_READY", message),
            Error::OtherReplicas => status(Code::FailedPrecondition, "OTHER_REPLICAS", message),
            Error::ModelServed => status(Code::FailedPrecondition, "MODEL_SERVED", message),
            Error::Rotation(RotationError::Exhausted) => {
                status(Code::FailedPrecondition, "ROTATION_EXHAUSTED", message)
            }
            Error::Busy => status(Code::ResourceExhausted, "BUSY", message),
            Error::Custody(error) => error.into(),
            Error::Keyring(_) | Error::Crypto(_) | Error::Rotation(_) | Error::Task => {
                tracing::error!(error = %message, "internal error");
                Status::internal("internal error")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_for_the_load_is_told_so() {
        let status = Status::from(Error::Busy);
        assert_eq!(status.code(), Code::ResourceExhausted);
        let (reason, _) = mesh::error::reason(&status).expect("a reason");
        assert_eq!(reason, "BUSY");
        assert!(mesh::error::is_unavailable(&status), "worth trying again");
    }
}
