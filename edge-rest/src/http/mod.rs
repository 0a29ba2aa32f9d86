//! The partner-facing routes.

mod bearer;
mod body;
mod json;
mod layers;
mod metadata;
mod opening;
mod problem;
mod token;
mod vector;
mod webhook;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use bytes::Bytes;

use crate::{config::BaseUrl, inside::Inside};

/// What the handlers share.
pub(crate) struct Edge {
    inside: Arc<dyn Inside>,
    base_url: BaseUrl,
    metadata: Bytes,
}

type Shared = Arc<Edge>;

impl Edge {
    pub(crate) fn new(inside: Arc<dyn Inside>, base_url: BaseUrl) -> Shared {
        let metadata = metadata::document(&base_url);
        Arc::new(Self {
            inside,
            base_url,
            metadata,
        })
    }
}

pub(crate) fn router(edge: Shared) -> Router {
    Router::new()
        .route(token::ROUTE, post(token::issue))
        .route("/.well-known/jwks.json", get(metadata::key_set))
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::server),
        )
        .route("/.well-known/openid-configuration", get(metadata::server))
        .route("/v1/doors/{device_id}/open", post(opening::door))
        .route("/v1/barriers/{device_id}/open", post(opening::barrier))
        .route("/v1/openings/{opening_id}", get(opening::outcome))
        .route("/v1/webhooks/intercom/key-openings", post(webhook::keys))
        .route("/v1/webhooks/barrier/fob-openings", post(webhook::fobs))
        .route("/v1/webhooks/commands", post(webhook::commands))
        .fallback(async || problem::NOT_FOUND.problem())
        .method_not_allowed_fallback(async || problem::METHOD_NOT_ALLOWED.problem())
        .layer(middleware::from_fn_with_state(edge.clone(), layers::around))
        .with_state(edge)
}

#[cfg(test)]
mod tests;
