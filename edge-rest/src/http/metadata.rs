//! Who issues tokens, how to ask for one, and the keys to verify them.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header};

use super::{Shared, problem::Problem};
use crate::config::BaseUrl;

/// RFC 8414, naming only what works.
pub(crate) fn document(base_url: &BaseUrl) -> Bytes {
    let issuer = base_url.as_str();
    let document = serde_json::json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}{}", super::token::ROUTE),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": ["door:open", "barrier:open", "events:write"],
        "response_types_supported": [],
    });
    document.to_string().into()
}

pub(crate) async fn server(State(edge): State<Shared>) -> Response {
    public(edge.metadata.clone())
}

pub(crate) async fn key_set(State(edge): State<Shared>) -> Result<Response, Problem> {
    match edge.inside.key_set().await {
        Ok(answer) => Ok(public(answer.jwks.into())),
        Err(status) => Err(Problem::of_status(&status)),
    }
}

fn public(body: Bytes) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    response
}
