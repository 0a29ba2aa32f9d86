//! The services that auth-svc asks.

mod access;
mod audit;
mod biometric;

pub(crate) use access::{Access, Context, Kind};
pub(crate) use audit::encode_event;
pub(crate) use biometric::Biometric;
use tonic::{Code, Status};

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

fn is_invalid(status: &Status) -> bool {
    status.code() == Code::InvalidArgument
}
