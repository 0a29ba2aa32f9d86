//! Bodies: read within a limit, recognised as JSON, and the faults of those
//! that cannot be read. A fault goes inward: when it is told is decided there.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use propdev_proto::access::BodyFault;

use super::{
    json::{Json, Object},
    problem,
    problem::{Entry, Problem},
};

pub(crate) const LIMIT: usize = 64 * 1024;
pub(crate) const BATCH_LIMIT: usize = 1024 * 1024;

pub(crate) enum ReadError {
    TooLarge,
    /// The caller went away or broke the framing.
    Broken,
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge => problem::PAYLOAD_TOO_LARGE.problem(),
            ReadError::Broken => problem::MALFORMED_REQUEST.problem(),
        }
    }
}

/// The whole body. A length that is announced too large is not read at all.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, ReadError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(ReadError::TooLarge);
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge),
        Err(_) => Err(ReadError::Broken),
    }
}

/// The media type without its parameters, in lower case; none when it is
/// absent, repeated or the body is encoded further.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let identity = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !identity(value))
    {
        return None;
    }
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let essence = value.to_str().ok()?.split(';').next()?.trim();
    Some(essence.to_ascii_lowercase())
}

/// The JSON object of a body that is not empty.
pub(crate) fn object(headers: &HeaderMap, bytes: &[u8]) -> Result<Object, BodyFault> {
    if media_type(headers).as_deref() != Some("application/json") {
        return Err(fault(
            problem::UNSUPPORTED_MEDIA_TYPE,
            problem::UNSUPPORTED_MEDIA_TYPE.detail,
        ));
    }
    match Json::parse(bytes) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(malformed("The body is not a JSON object.")),
        Err(fault) => Err(malformed(fault)),
    }
}

pub(crate) fn malformed(detail: impl Into<String>) -> BodyFault {
    fault(problem::MALFORMED_REQUEST, detail)
}

pub(crate) fn fault(entry: &Entry, detail: impl Into<String>) -> BodyFault {
    BodyFault {
        reason: entry.reason(),
        detail: detail.into(),
    }
}

/// The problem of a call that carried this fault inward. When the answer is
/// that fault, its own words name the field.
pub(crate) fn problem_of(status: &tonic::Status, sent: Option<BodyFault>) -> Problem {
    let problem = Problem::of_status(status);
    match sent {
        Some(fault) if problem.has_reason(&fault.reason) => problem.with_detail(fault.detail),
        _ => problem,
    }
}
