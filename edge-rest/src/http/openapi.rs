//! The partners' contract as an OpenAPI document.

use axum::{extract::State, response::Response};
use bytes::Bytes;

use super::{Shared, metadata::public};
use crate::config::PublicConfig;

pub(crate) const ROUTE: &str = "/openapi.json";

const WRITTEN: &str = include_str!("../../openapi.json");
/// Stands in the document where this edge's own URL belongs.
const PLACEHOLDER: &str = "https://edge.example";

pub(crate) fn document(config: &PublicConfig) -> Bytes {
    WRITTEN
        .replace(PLACEHOLDER, config.base_url.as_str())
        .into()
}

pub(crate) async fn serve(State(edge): State<Shared>) -> Response {
    public(edge.openapi.clone())
}
