//! `POST /oauth2/introspect` (RFC 7662) and `POST /oauth2/revoke` (RFC 7009).

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use propdev_proto::auth::{IntrospectTokenRequest, RevokeTokenRequest};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{credentials, error::TokenError, receive};
use crate::{caller::Caller, http::Shared};

pub(crate) const INTROSPECT: &str = "/oauth2/introspect";
pub(crate) const REVOKE: &str = "/oauth2/revoke";

pub(crate) async fn introspect(
    State(edge): State<Shared>,
    request: Request,
) -> Result<Response, TokenError> {
    let (parts, parameters) = receive(request).await?;
    let caller = parts.extensions.get::<Caller>();
    let credentials = credentials::read(&parts.headers, &parameters, caller)?;
    let message = IntrospectTokenRequest {
        credentials: Some(credentials),
        token: token(parameters.token.as_ref())?,
        request_id: super::request_id(),
    };
    let answer = edge.inside.introspect_token(message).await?;
    let body = if answer.active {
        let mut claims: Value =
            serde_json::from_str(&answer.claims).map_err(|_| TokenError::server_error())?;
        claims["active"] = true.into();
        claims["token_type"] = "Bearer".into();
        claims
    } else {
        json!({"active": false})
    };
    Ok((
        [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )],
        body.to_string(),
    )
        .into_response())
}

pub(crate) async fn revoke(
    State(edge): State<Shared>,
    request: Request,
) -> Result<Response, TokenError> {
    let (parts, parameters) = receive(request).await?;
    let caller = parts.extensions.get::<Caller>();
    let credentials = credentials::read(&parts.headers, &parameters, caller)?;
    let message = RevokeTokenRequest {
        credentials: Some(credentials),
        token: token(parameters.token.as_ref())?,
        request_id: super::request_id(),
    };
    edge.inside.revoke_token(message).await?;
    Ok(StatusCode::OK.into_response())
}

fn token(token: Option<&SecretString>) -> Result<String, TokenError> {
    token
        .map(|token| token.expose_secret().to_owned())
        .ok_or_else(|| TokenError::invalid_request("token is missing."))
}
