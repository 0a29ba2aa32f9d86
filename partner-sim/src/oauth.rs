//! The partner's auth server: client credentials with HTTP Basic.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::SignedDuration;
use serde_json::json;
use uuid::Uuid;

use crate::{
    App,
    behaviour::{HANG, Mode},
    state::{Token, TokenRequest, shown},
};

const LIFETIME_S: i64 = 300;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/oauth2/token", post(token))
}

async fn token(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let behaviour = {
        let mut state = app.shared.lock();
        state.token_requests.push(TokenRequest {
            headers: shown(&headers),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        state.behaviour.clone()
    };
    match behaviour.token_mode {
        Mode::Ok | Mode::UnauthorizedOnce => {}
        Mode::Slow => tokio::time::sleep(Duration::from_millis(behaviour.delay_ms)).await,
        Mode::Hang => tokio::time::sleep(HANG).await,
        Mode::Down => return fault(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        Mode::Refuse => return fault(StatusCode::BAD_REQUEST, "unauthorized_client"),
    }
    let wanted = url::form_urlencoded::parse(&body)
        .any(|(name, value)| name == "grant_type" && value == "client_credentials");
    if !wanted {
        return fault(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let Some((id, secret)) = basic(&headers) else {
        return fault(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    let mut state = app.shared.lock();
    let Some((partner, kind)) = state.client(&id, &secret) else {
        return fault(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    let token = Uuid::new_v4().simple().to_string();
    let expires_at = app.clock.now() + SignedDuration::from_secs(LIFETIME_S);
    state.tokens_issued += 1;
    state.tokens.insert(
        token.clone(),
        Token {
            partner,
            kind,
            expires_at,
        },
    );
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_S});
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Id and secret, each form-decoded (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let decode = |text: &str| {
        url::form_urlencoded::parse(format!("v={text}").as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}

fn fault(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}
