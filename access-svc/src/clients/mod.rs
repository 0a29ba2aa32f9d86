//! The services that access-svc asks.

mod auth;
mod biometric;
mod command;
mod edge;

pub(crate) use auth::{Auth, Revocation, VerificationKey, VerificationState};
pub(crate) use biometric::{Biometric, Enrolment, SERVICE as BIOMETRIC};
pub(crate) use edge::{Edge, Witnessed};
use tonic::Status;

use crate::error::Error;

/// An answer nobody planned for, as against no answer.
fn unexpected(service: &'static str, status: &Status) -> Error {
    if mesh::error::is_unavailable(status) {
        Error::Dependency(service)
    } else {
        Error::UnexpectedAnswer {
            service,
            code: status.code(),
        }
    }
}
