//! What was opened without us, and what became of a command. A call stands or
//! falls as a whole; 202 only when access-svc says that all of it is durable.

mod batch;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use batch::{Batch, Opened, batch, command_result, credential_opening};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, request::Parts};
use propdev_proto::access::{
    BodyFault, CredentialKind, RecordCommandResultsRequest, RecordCredentialOpeningsRequest,
    WebhookSignature,
};
use serde_json::json;

use super::{
    Shared,
    bearer::{Bearer, certificate_sha256},
    body::{BATCH_LIMIT, problem_of, read},
    problem::Problem,
};

pub(crate) async fn keys(
    State(edge): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    credential_openings(edge, CredentialKind::Key, request).await
}

pub(crate) async fn fobs(
    State(edge): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    credential_openings(edge, CredentialKind::Fob, request).await
}

async fn credential_openings(
    edge: Shared,
    kind: CredentialKind,
    request: Request,
) -> Result<Response, Problem> {
    let (token, parts, bytes) = receive(request).await?;
    let opened = if kind == CredentialKind::Key {
        Opened::BY_KEY
    } else {
        Opened::BY_FOB
    };
    let read = batch(&parts.headers, &bytes, &opened.fields(), |event| {
        credential_opening(event, opened)
    });
    let (batch, body_fault) = split(read);
    let message = RecordCredentialOpeningsRequest {
        access_token: token.into_message(),
        kind: kind.into(),
        events: batch.events,
        faults: batch.faults,
        body_fault: body_fault.clone(),
        certificate_sha256: certificate_sha256(&parts.extensions),
        signature: signature(&parts.headers, &bytes),
        ..RecordCredentialOpeningsRequest::default()
    };
    match edge.inside.record_credential_openings(message).await {
        Ok(answer) => Ok(accepted(answer.accepted, answer.duplicates)),
        Err(status) => Err(problem_of(&status, body_fault)),
    }
}

pub(crate) async fn commands(
    State(edge): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let (token, parts, bytes) = receive(request).await?;
    let (batch, body_fault) = split(batch(
        &parts.headers,
        &bytes,
        batch::COMMAND_FIELDS,
        command_result,
    ));
    let message = RecordCommandResultsRequest {
        access_token: token.into_message(),
        results: batch.events,
        faults: batch.faults,
        body_fault: body_fault.clone(),
        certificate_sha256: certificate_sha256(&parts.extensions),
        signature: signature(&parts.headers, &bytes),
    };
    match edge.inside.record_command_results(message).await {
        Ok(answer) => Ok(accepted(answer.accepted, answer.duplicates)),
        Err(status) => Err(problem_of(&status, body_fault)),
    }
}

async fn receive(request: Request) -> Result<(Bearer, Parts, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let token = Bearer::of(&parts.headers)?;
    let bytes = read(&parts.headers, body, BATCH_LIMIT).await?;
    Ok((token, parts, bytes))
}

/// The signature that a call carries, and what it is over. Whether it is
/// wanted, and by whom it must be, is known inside.
fn signature(headers: &HeaderMap, body: &Bytes) -> Option<WebhookSignature> {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    if !names.iter().any(|name| headers.contains_key(*name)) {
        return None;
    }
    let [id, timestamp, signature] = names.map(|name| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    });
    Some(WebhookSignature {
        id,
        timestamp,
        signature,
        body: body.to_vec(),
    })
}

fn split<T>(read: Result<Batch<T>, BodyFault>) -> (Batch<T>, Option<BodyFault>) {
    match read {
        Ok(batch) => (batch, None),
        Err(fault) => (
            Batch {
                events: Vec::new(),
                faults: Vec::new(),
            },
            Some(fault),
        ),
    }
}

fn accepted(accepted: u32, duplicates: u32) -> Response {
    (
        StatusCode::ACCEPTED,
        [(header::CONTENT_TYPE, "application/json")],
        json!({"accepted": accepted, "duplicates": duplicates}).to_string(),
    )
        .into_response()
}

#[cfg(test)]
mod tests;
