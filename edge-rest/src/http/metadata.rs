//! Who issues tokens, how to ask for one, and the keys to verify them.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header};

use super::{Shared, problem::Problem};
use crate::config::PublicConfig;

/// RFC 8414, naming only what works.
pub(crate) fn document(config: &PublicConfig) -> Bytes {
    let issuer = config.base_url.as_str();
    let mut methods = vec![
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    let behind_proxy = !config.trusted_proxies.is_empty();
    let bound = if behind_proxy {
        config.client_certificate_header.is_some()
    } else {
        config.request_client_certificates
    };
    if bound {
        methods.extend(["tls_client_auth", "self_signed_tls_client_auth"]);
    }
    let algorithms = ["ES256", "EdDSA", "PS256", "RS256"];
    let document = serde_json::json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}{}", super::token::ROUTE),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "service_documentation": format!("{issuer}{}", super::openapi::ROUTE),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": format!("{issuer}{}", super::token::INTROSPECT),
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": format!("{issuer}{}", super::token::REVOKE),
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "tls_client_certificate_bound_access_tokens": bound,
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

pub(super) fn public(body: Bytes) -> Response {
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
