//! Opening a door or a barrier, and asking what became of it.

mod answer;
mod body;

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
};
use http::{HeaderMap, header};
use propdev_proto::access::{
    BodyFault, DeviceKind, GetOpeningRequest, OpenRequest, open_request::Evidence,
};
use tonic::{Code, Status};

use super::{
    Shared,
    bearer::{Bearer, certificate_sha256},
    body::{LIMIT, malformed, problem_of, read},
    problem::{self, Problem},
};
use crate::syntax::is_partner_id;

/// A path's id as it came, or none where it could not be decoded.
type Id = Result<Path<String>, PathRejection>;

pub(crate) async fn door(
    State(edge): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, Problem> {
    open(edge, DeviceKind::Door, id, request).await
}

pub(crate) async fn barrier(
    State(edge): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, Problem> {
    open(edge, DeviceKind::Barrier, id, request).await
}

pub(crate) async fn outcome(
    State(edge): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, Problem> {
    let request = GetOpeningRequest {
        access_token: Bearer::of(request.headers())?.into_message(),
        opening_id: plain(id),
        certificate_sha256: certificate_sha256(request.extensions()),
    };
    match edge.inside.opening(request).await {
        Ok(response) => answer::outcome(response.opening),
        Err(status) => Err(Problem::of_status(&status)),
    }
}

async fn open(
    edge: Shared,
    kind: DeviceKind,
    id: Id,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, stream) = request.into_parts();
    let token = Bearer::of(&parts.headers)?;
    let bytes = read(&parts.headers, stream, LIMIT).await?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    // Whether the body can be read is told after the token and the device.
    let parsed = body::parse(kind, &parts.headers, &bytes);
    let key = idempotency_key(&parts.headers);
    let (evidence, captured_at, key, fault) = match (parsed, key) {
        (Ok(body), Ok(key)) => (body.evidence, body.captured_at, key, None),
        (Err(fault), _) | (_, Err(fault)) => (
            Some(Evidence::BodyFault(fault.clone())),
            None,
            String::new(),
            Some(fault),
        ),
    };
    let message = OpenRequest {
        access_token: token.into_message(),
        device_kind: kind.into(),
        device_id: plain(id),
        evidence,
        captured_at,
        body_digest: digest.as_ref().to_vec(),
        idempotency_key: key,
        certificate_sha256: certificate_sha256(&parts.extensions),
        member: None,
    };
    match edge.inside.open(message).await {
        Ok(response) => answer::opened(response),
        Err(status) if lost(&status) => Err(problem::PARTNER_TIMEOUT.problem()),
        Err(status) => Err(problem_of(&status, fault)),
    }
}

/// Whether access-svc may have decided although its answer never came: 503
/// would promise that nothing was opened.
fn lost(status: &Status) -> bool {
    let silent = match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => true,
        // A connection that broke after the request had left.
        Code::Unavailable => !mesh::client::never_sent(status),
        _ => false,
    };
    silent && mesh::error::reason(status).is_none()
}

/// An id that no device can have becomes the empty one: it is not found, but
/// only once the token is known to be good.
fn plain(id: Id) -> String {
    match id {
        Ok(Path(id)) if is_partner_id(&id) => id,
        _ => String::new(),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<String, BodyFault> {
    const NAME: header::HeaderName = header::HeaderName::from_static("idempotency-key");
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else {
        return Ok(String::new());
    };
    let bytes = value.as_bytes();
    let visible = bytes.iter().all(|b| (0x21..=0x7e).contains(b));
    match std::str::from_utf8(bytes) {
        Ok(text) if visible && (1..=255).contains(&bytes.len()) && values.next().is_none() => {
            Ok(text.to_owned())
        }
        _ => Err(malformed(
            "Idempotency-Key is not one value of 1 to 255 visible ASCII characters.",
        )),
    }
}

#[cfg(test)]
mod tests;
