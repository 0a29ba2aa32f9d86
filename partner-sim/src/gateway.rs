//! The partner's gateway: takes commands, and refuses what a careful partner
//! would refuse.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    App,
    behaviour::{HANG, Mode},
    state::{Command, DeviceKind, State as SimState, shown},
};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/doors/{device_id}/open", post(open_door))
        .route("/v1/barriers/{device_id}/open", post(open_barrier))
}

async fn open_door(
    State(app): State<App>,
    Path(device): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    open(app, DeviceKind::Door, device, headers, body).await
}

async fn open_barrier(
    State(app): State<App>,
    Path(device): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    open(app, DeviceKind::Barrier, device, headers, body).await
}

async fn open(
    app: App,
    kind: DeviceKind,
    device: String,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let now = app.clock.now();
    let (status, delay) = {
        let mut state = app.shared.lock();
        let partner = bearer(&state, &headers, kind, now);
        let mode = state.behaviour.mode_of(partner.as_deref());
        let delay = Duration::from_millis(state.behaviour.delay_ms);
        let mut command = describe(partner.as_deref(), kind, &device, &headers, body, now);
        let id = command.command_id.as_ref();
        command.duplicate = id.is_some_and(|id| state.accepted.contains(id));
        let status = judge(&mut state, partner.as_deref(), &command, &headers);
        if let (Some(StatusCode::ACCEPTED), Some(id)) = (status, &command.command_id) {
            state.accepted.insert(id.clone());
        }
        command.status = status.map_or(0, |status| status.as_u16());
        state.commands.push(command);
        (status, (mode == Mode::Slow).then_some(delay))
    };
    // The command was taken when it came: the answer alone is late.
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    match status {
        Some(StatusCode::ACCEPTED) => {
            (StatusCode::ACCEPTED, Json(json!({"status": "accepted"}))).into_response()
        }
        Some(status) => (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            json!({"status": status.as_u16(), "title": "refused"}).to_string(),
        )
            .into_response(),
        None => {
            tokio::time::sleep(HANG).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
    }
}

/// The answer; none is an answer that never comes.
fn judge(
    state: &mut SimState,
    partner: Option<&str>,
    command: &Command,
    headers: &HeaderMap,
) -> Option<StatusCode> {
    match state.behaviour.mode_of(partner) {
        Mode::UnauthorizedOnce => {
            state.behaviour.mode = Mode::Ok;
            state.tokens.clear();
            return Some(StatusCode::UNAUTHORIZED);
        }
        Mode::Down => return Some(StatusCode::SERVICE_UNAVAILABLE),
        Mode::Refuse => return Some(StatusCode::FORBIDDEN),
        Mode::Hang => return None,
        Mode::Ok | Mode::Slow => {}
    }
    let Some(partner) = partner else {
        return Some(StatusCode::UNAUTHORIZED);
    };
    if !state.owns(partner, command.device_kind, &command.device_id) {
        return Some(StatusCode::NOT_FOUND);
    }
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok());
    let told = command.body["device_id"].as_str();
    if told != Some(&command.device_id) || command.command_id.as_deref() != key {
        return Some(StatusCode::BAD_REQUEST);
    }
    Some(if command.late {
        StatusCode::GONE
    } else {
        StatusCode::ACCEPTED
    })
}

fn bearer(
    state: &SimState,
    headers: &HeaderMap,
    kind: DeviceKind,
    now: Timestamp,
) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let token = state.tokens.get(value.strip_prefix("Bearer ")?)?;
    (token.kind == kind && now < token.expires_at).then(|| token.partner.clone())
}

fn describe(
    partner: Option<&str>,
    kind: DeviceKind,
    device: &str,
    headers: &HeaderMap,
    body: Value,
    now: Timestamp,
) -> Command {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let expires_at = text("expires_at");
    let late = expires_at
        .as_ref()
        .and_then(|time| time.parse::<Timestamp>().ok())
        .is_some_and(|expiry| now > expiry);
    Command {
        partner: partner.unwrap_or_default().to_owned(),
        device_id: device.to_owned(),
        device_kind: kind,
        command_id: text("command_id"),
        opening_id: text("opening_id"),
        issued_at: text("issued_at"),
        expires_at,
        received_at: now,
        late,
        duplicate: false,
        status: 0,
        body,
        headers: shown(headers),
    }
}
