//! One call to a peer: deadline, metadata, and retries within a budget.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use opentelemetry::{global, propagation::Injector};
use tonic::{Code, Status, body::Body, metadata::MetadataValue};
use tower::{
    Service, ServiceExt,
    retry::budget::{Budget, TpsBudget},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::dial::{Connection, Dial};
use crate::{
    context::{CallContext, REQUEST_ID},
    policy::Policy,
};

/// Used where the contract names no RPC: health checks.
const FALLBACK_DEADLINE: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 3;
/// Marks a status of our own making; no peer's answer holds it.
const NOT_SENT: &str = "x-mesh-not-sent";
/// Kept back from the caller's own deadline, so that its answer still arrives.
const MARGIN: Duration = Duration::from_millis(5);

/// A lazily dialled connection to a service.
#[derive(Clone)]
pub struct MeshChannel {
    peer: &'static str,
    connection: Arc<Connection>,
    policy: Arc<Policy>,
    budget: Arc<TpsBudget>,
}

impl MeshChannel {
    pub(super) fn new(peer: &'static str, dial: Dial, policy: Arc<Policy>) -> Self {
        Self {
            peer,
            connection: Arc::new(Connection::new(dial)),
            policy,
            // A fifth of the calls may be retries, and ten a second in any case.
            budget: Arc::new(TpsBudget::new(Duration::from_secs(10), 10, 0.2)),
        }
    }

    /// How long a call of this path may take that is made now.
    pub fn budget(&self, path: &str) -> Duration {
        let rpc = self.policy.get(path);
        let most = rpc.map_or(FALLBACK_DEADLINE, |rpc| rpc.deadline);
        CallContext::current().map_or(most, |context| {
            context.remaining().saturating_sub(MARGIN).min(most)
        })
    }

    async fn send(self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let budget = self.budget(&path);
        if budget.is_zero() {
            return Status::deadline_exceeded("no time is left for the call").into_http();
        }
        let deadline = Instant::now() + budget;
        let rpc = self.policy.get(&path);
        let idempotent = rpc.is_some_and(|rpc| rpc.idempotent);

        let (mut parts, body) = request.into_parts();
        describe(&mut parts, CallContext::current().as_ref());
        let work = self.send_retrying(parts, body, deadline, idempotent);
        match tokio::time::timeout(budget, work).await {
            Ok(response) => response,
            Err(_) => Status::deadline_exceeded(format!("{} did not answer in time", self.peer))
                .into_http(),
        }
    }

    async fn send_retrying(
        &self,
        parts: Parts,
        body: Body,
        deadline: Instant,
        idempotent: bool,
    ) -> Response<Body> {
        let bytes = match body.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(status) => return status.into_http(),
        };
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_millis(200))
            .with_max_times(ATTEMPTS - 1)
            .with_jitter()
            .build();
        self.budget.deposit();
        loop {
            let mut parts = parts.clone();
            set_timeout(&mut parts, deadline);
            let request = Request::from_parts(parts, whole(bytes.clone()));
            let (response, sent) = self.attempt(request).await;
            // What never left may be tried again, whatever the contract says of it.
            if sent && !(idempotent && is_unavailable(&response)) {
                return response;
            }
            let Some(pause) = pauses.next() else {
                return response;
            };
            if Instant::now() + pause >= deadline || !self.budget.withdraw() {
                return response;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The answer, and whether the request may have reached the peer. A peer
    /// that cannot be reached is UNAVAILABLE, whatever the transport says.
    async fn attempt(&self, request: Request<Body>) -> (Response<Body>, bool) {
        let mut channel = self.connection.channel();
        let result = match channel.ready().await {
            Ok(ready) => ready.call(request).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(response) => (response, true),
            Err(error) => {
                let sent = !caused_by::<tonic::ConnectError>(&error) && !was_dropped(&error);
                tracing::debug!(peer = self.peer, error = %chain(&error), sent, "call failed");
                let message = format!("{} cannot be reached", self.peer);
                let status = if !sent {
                    not_sent(message)
                } else if caused_by::<tonic::TimeoutExpired>(&error) {
                    Status::deadline_exceeded(format!("{} did not answer in time", self.peer))
                } else {
                    Status::unavailable(message)
                };
                (status.into_http(), sent)
            }
        }
    }
}

/// The status of a call that surely never reached its peer.
pub fn not_sent(message: impl Into<String>) -> Status {
    as_not_sent(Status::unavailable(message))
}

pub(super) fn as_not_sent(mut status: Status) -> Status {
    status
        .metadata_mut()
        .insert(NOT_SENT, MetadataValue::from_static("1"));
    status
}

/// Whether a call surely never reached its peer.
pub fn never_sent(status: &Status) -> bool {
    status.metadata().contains_key(NOT_SENT)
}

fn caused_by<E: std::error::Error + 'static>(error: &tonic::transport::Error) -> bool {
    causes(error).any(|cause| cause.is::<E>())
}

/// Whether the connection ended, as each does at its age, before the peer took
/// the request: it did not leave, or the peer's GOAWAY says that it was not
/// looked at (RFC 9113 section 6.8).
fn was_dropped(error: &tonic::transport::Error) -> bool {
    causes(error).any(|cause| {
        let unsent = cause.downcast_ref::<hyper::Error>();
        let unseen = cause.downcast_ref::<h2::Error>();
        unsent.is_some_and(hyper::Error::is_canceled)
            || unseen.is_some_and(|error| {
                error.is_remote()
                    && error.is_go_away()
                    && error.reason() == Some(h2::Reason::NO_ERROR)
            })
    })
}

fn causes(
    error: &tonic::transport::Error,
) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause.source())
}

impl Service<Request<Body>> for MeshChannel {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.clone().send(request).map(Ok).boxed()
    }
}

fn whole(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes).map_err(|never| match never {}))
}

fn is_unavailable(response: &Response<Body>) -> bool {
    Status::from_header_map(response.headers())
        .is_some_and(|status| status.code() == Code::Unavailable)
}

fn describe(parts: &mut Parts, context: Option<&CallContext>) {
    if let Some(value) = context.and_then(|c| HeaderValue::from_str(&c.request_id).ok()) {
        parts.headers.insert(REQUEST_ID, value);
    }
    let trace = tracing::Span::current().context();
    global::get_text_map_propagator(|p| p.inject_context(&trace, &mut Headers(&mut parts.headers)));
}

fn set_timeout(parts: &mut Parts, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    // Eight digits at most: microseconds up to 99 s, then milliseconds.
    let text = if left < Duration::from_secs(99) {
        format!("{}u", left.as_micros().max(1))
    } else {
        format!("{}m", left.as_millis().min(99_999_999))
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        parts.headers.insert("grpc-timeout", value);
    }
}

/// An error with its causes: the outermost says no more than "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

struct Headers<'a>(&'a mut http::HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            self.0.insert(name, value);
        }
    }
}
