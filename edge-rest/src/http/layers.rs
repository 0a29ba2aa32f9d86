//! What every request passes, in this order: a request id and a span, the
//! deadline that calls inside inherit, a net under a panicking handler, the
//! problem's body, the headers of every answer, the rest of the request's body.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use mesh::{
    context::{CallContext, REQUEST_ID, acceptable_request_id, new_request_id},
    limit::Limited,
};
use opentelemetry::{KeyValue, global, metrics::Histogram, propagation::Extractor};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Shared, problem, problem::Problem, token, unread::Unread};
use crate::caller::Connection;

const MAX_HEAD: usize = 32 * 1024;
/// Calls inside end before the request does, so that their own answer is told.
const MARGIN: Duration = Duration::from_millis(100);

pub(crate) async fn around(
    State(edge): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    // The template, never the path: a path holds ids.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "_OTHER".to_owned(), |path| path.as_str().to_owned());
    let method = known(request.method());
    let request_id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| acceptable_request_id(id))
        .map_or_else(new_request_id, str::to_owned);
    let span = tracing::info_span!(
        "http",
        otel.kind = "server",
        http.request.method = method,
        url.path = %route,
        request_id = %request_id,
        http.response.status_code = tracing::field::Empty,
    );
    let _ = span.set_parent(global::get_text_map_propagator(|p| {
        p.extract(&Headers(request.headers()))
    }));

    async move {
        let context = CallContext::new(
            edge.request_timeout.saturating_sub(MARGIN),
            request_id.clone(),
        );
        let limited = edge.admit(&mut request);
        let unread = Unread::of(&mut request);
        let answer = async {
            if let Err(limited) = limited {
                return failure(&route, Problem::limited(&limited));
            }
            if head_size(&request) > MAX_HEAD {
                return failure(&route, problem::HEADERS_TOO_LARGE.problem());
            }
            next.run(request).await
        };
        let work = AssertUnwindSafe(context.scope(answer)).catch_unwind();
        let mut response = match tokio::time::timeout(edge.request_timeout, work).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!("the handler panicked");
                failure(&route, problem::INTERNAL.problem())
            }
            Err(_) => failure(&route, problem::UNAVAILABLE.problem()),
        };
        Problem::render(&mut response, &edge.base_url, &request_id);
        dress(&mut response, &route, &request_id);
        record(&route, method, &response, started);
        if let Some(unread) = unread {
            let left = edge.request_timeout.saturating_sub(started.elapsed());
            if !unread.discard(left).await {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
        }
        response
    }
    .instrument(span)
    .await
}

/// The parsers' own bound is looser by what one read may add.
fn head_size(request: &Request) -> usize {
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let fields = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    target + fields.sum::<usize>()
}

/// The token endpoint tells errors in words of its own.
fn failure(route: &str, problem: Problem) -> Response {
    if route.starts_with(token::PREFIX) {
        token::failure(problem).into_response()
    } else {
        problem.into_response()
    }
}

impl super::Edge {
    /// Tells the handlers who asks, and counts the request for its address
    /// before anything else is done for it.
    fn admit(&self, request: &mut Request) -> Result<(), Limited> {
        let Some(connection) = request.extensions().get::<Connection>() else {
            return Ok(());
        };
        let caller = self.proxies.caller(connection, request.headers());
        let network = caller.network();
        request.extensions_mut().insert(caller);
        self.addresses.take(network, self.address_quota)
    }
}

fn dress(response: &mut Response, route: &str, request_id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static(REQUEST_ID), id);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000"),
    );
    // What may be kept says so itself.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if route.starts_with(token::PREFIX) {
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    }
}

fn record(route: &str, method: &'static str, response: &Response, started: Instant) {
    static DURATION: std::sync::OnceLock<Histogram<f64>> = std::sync::OnceLock::new();
    let duration = DURATION.get_or_init(|| {
        global::meter("edge")
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .build()
    });
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    tracing::Span::current().record("http.response.status_code", status);
    duration.record(
        elapsed.as_secs_f64(),
        &[
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ],
    );
    tracing::debug!(status, elapsed_us = elapsed.as_micros() as u64, "answered");
}

/// A method is a stranger's word: only a known one becomes a label.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
