//! The partner-facing routes.

mod bearer;
mod body;
mod json;
mod layers;
mod metadata;
mod openapi;
mod opening;
mod problem;
mod token;
mod unread;
mod vector;
mod webhook;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router, middleware,
    routing::{MethodRouter, get, post},
};
use bytes::Bytes;

use mesh::{
    limit::{Limits, Quota},
    shutdown::Shutdown,
};

use crate::{
    caller::Proxies,
    config::{BaseUrl, Config},
    inside::Inside,
};

/// What the handlers share.
pub(crate) struct Edge {
    inside: Arc<dyn Inside>,
    base_url: BaseUrl,
    metadata: Bytes,
    openapi: Bytes,
    proxies: Proxies,
    addresses: Limits<IpAddr>,
    address_quota: Quota,
    request_timeout: Duration,
}

type Shared = Arc<Edge>;

impl Edge {
    pub(crate) fn new(
        inside: Arc<dyn Inside>,
        config: &Config,
        request_timeout: Duration,
    ) -> Shared {
        let (public, limits) = (&config.public, &config.limits);
        let proxies = Proxies {
            trusted: public.trusted_proxies.clone(),
            certificate_header: public.client_certificate_header.clone(),
        };
        Arc::new(Self {
            inside,
            metadata: metadata::document(public),
            openapi: openapi::document(public),
            base_url: public.base_url.clone(),
            proxies,
            addresses: Limits::default(),
            address_quota: Quota::per_second(
                "address",
                limits.address_requests_per_second,
                limits.address_burst,
            ),
            request_timeout,
        })
    }
}

/// How often what was refused by address is told to the audit.
const REPORT_EVERY: Duration = Duration::from_secs(60);

impl Edge {
    /// Tells the audit what was refused before anybody said who they are.
    pub(crate) async fn report_refused(self: Arc<Self>, shutdown: Shutdown) {
        let mut untold = 0;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(REPORT_EVERY) => {}
            }
            untold += self.addresses.take_refused();
            if untold > 0 && self.inside.report_refused(untold).await.is_ok() {
                untold = 0;
            }
            if shutdown.is_cancelled() {
                return;
            }
        }
    }
}

/// All that partners can ask for, by path.
fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        (token::ROUTE, post(token::issue)),
        (token::INTROSPECT, post(token::introspect)),
        (token::REVOKE, post(token::revoke)),
        ("/.well-known/jwks.json", get(metadata::key_set)),
        (
            "/.well-known/oauth-authorization-server",
            get(metadata::server),
        ),
        ("/.well-known/openid-configuration", get(metadata::server)),
        (openapi::ROUTE, get(openapi::serve)),
        ("/v1/doors/{device_id}/open", post(opening::door)),
        ("/v1/barriers/{device_id}/open", post(opening::barrier)),
        ("/v1/openings/{opening_id}", get(opening::outcome)),
        ("/v1/webhooks/intercom/key-openings", post(webhook::keys)),
        ("/v1/webhooks/barrier/fob-openings", post(webhook::fobs)),
        ("/v1/webhooks/commands", post(webhook::commands)),
    ]
}

pub(crate) fn router(edge: Shared) -> Router {
    routes()
        .into_iter()
        .fold(Router::<Shared>::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(async || problem::NOT_FOUND.problem())
        .method_not_allowed_fallback(async || problem::METHOD_NOT_ALLOWED.problem())
        .layer(middleware::from_fn_with_state(edge.clone(), layers::around))
        .with_state(edge)
}

#[cfg(test)]
mod tests;
