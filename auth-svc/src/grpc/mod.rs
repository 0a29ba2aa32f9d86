//! Protobuf to domain and back; no rule lives here.

mod client;
mod client_message;
mod signing_key;
mod token;
mod verification;

pub(crate) use client::ClientApi;
use jiff::Timestamp;
use mesh::{Caller, clock::from_proto};
pub(crate) use signing_key::SigningKeyApi;
pub(crate) use token::TokenApi;
pub(crate) use verification::VerificationApi;

use crate::error::Error;

/// Who calls, as the audit names them: put there by the server's layer.
fn actor<T>(request: &tonic::Request<T>) -> String {
    request
        .extensions()
        .get::<Caller>()
        .map_or_else(String::new, Caller::to_string)
}

fn time(
    field: &'static str,
    message: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Error> {
    message
        .map(|time| from_proto(time.seconds, time.nanos))
        .transpose()
        .map_err(|_| Error::InvalidField {
            field,
            detail: "is out of range",
        })
}

fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}
