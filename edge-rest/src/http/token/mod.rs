//! `POST /oauth2/token` (RFC 6749 section 4.4): reads the request, asks
//! auth-svc, tells the answer in the words of RFC 6749 section 5.

mod credentials;
mod endpoints;
mod error;
mod form;
mod parameters;
mod request;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header, request::Parts};
use mesh::context::CallContext;
use serde::Serialize;

pub(crate) use endpoints::{INTROSPECT, REVOKE, introspect, revoke};
use error::TokenError;
pub(crate) use error::failure;
use parameters::Parameters;

use super::{Shared, body};
use crate::caller::Caller;

pub(crate) const ROUTE: &str = "/oauth2/token";
/// Of the endpoints that tell errors in the words of RFC 6749.
pub(crate) const PREFIX: &str = "/oauth2/";

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u32,
    scope: &'a str,
}

pub(crate) async fn issue(
    State(edge): State<Shared>,
    request: Request,
) -> Result<Response, TokenError> {
    let (parts, parameters) = receive(request).await?;
    let caller = parts.extensions.get::<Caller>();
    let message = request::read(&parts.headers, parameters, caller)?;
    let token = edge.inside.issue_token(message).await?;
    let answer = Answer {
        access_token: &token.access_token,
        token_type: "Bearer",
        expires_in: token.expires_in,
        scope: &token.scope,
    };
    let body = serde_json::to_vec(&answer).map_err(|_| TokenError::server_error())?;
    Ok((
        [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )],
        Bytes::from(body),
    )
        .into_response())
}

/// What a request says, wherever in it.
async fn receive(request: Request) -> Result<(Parts, Parameters), TokenError> {
    let (parts, body) = request.into_parts();
    request::refuse_query(parts.uri.query())?;
    let bytes = body::read(&parts.headers, body, body::LIMIT).await?;
    let parameters = read(&parts.headers, &bytes)?;
    Ok((parts, parameters))
}

/// Of the request under way, for the audit.
fn request_id() -> String {
    CallContext::current().map_or_else(String::new, |context| context.request_id)
}

fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Parameters, TokenError> {
    match body::media_type(headers).as_deref() {
        _ if bytes.is_empty() => Err(TokenError::invalid_request("The body is empty.")),
        Some("application/x-www-form-urlencoded") => Parameters::of_form(bytes),
        Some("application/json") => Parameters::of_json(bytes),
        _ => Err(TokenError::invalid_request(
            "The body must be application/x-www-form-urlencoded or application/json.",
        )),
    }
}

#[cfg(test)]
mod tests;
