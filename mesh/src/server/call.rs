//! What every call passes before its handler, in this order: a request id and
//! a span, the caller's right, a place among those served at once, the
//! deadline, and a net under a panicking handler.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
    propagation::Extractor,
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Peer, places::Places, timing::Timing};
use crate::{
    Caller, SpiffeId,
    context::{CallContext, REQUEST_ID, acceptable_request_id, new_request_id},
    policy::Policy,
    tls::Credentials,
};

/// For health checks, which no contract of ours gives a deadline.
const FALLBACK_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct CallLayer {
    shared: Arc<Shared>,
}

struct Shared {
    service: &'static str,
    policy: Arc<Policy>,
    credentials: Arc<Credentials>,
    places: Places,
    refused: Counter<u64>,
    duration: Histogram<f64>,
}

impl CallLayer {
    pub(super) fn new(
        service: &'static str,
        policy: Arc<Policy>,
        credentials: Arc<Credentials>,
        places: usize,
    ) -> Self {
        let meter = global::meter("mesh");
        Self {
            shared: Arc::new(Shared {
                service,
                policy,
                credentials,
                places: Places::new(places),
                refused: meter.u64_counter("mesh.server.refused").build(),
                duration: meter
                    .f64_histogram("rpc.server.duration")
                    .with_unit("s")
                    .build(),
            }),
        }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService {
            inner,
            shared: self.shared.clone(),
        }
    }
}

#[derive(Clone)]
pub(super) struct CallService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request<Body>> for CallService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone takes this one's place so that the ready one is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let shared = self.shared.clone();
        let path = request.uri().path().to_owned();
        let request_id = request_id(&request);
        let span = tracing::info_span!(
            "rpc",
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.method = %path,
            request_id = %request_id,
            rpc.grpc.status_code = tracing::field::Empty,
        );
        let parent = global::get_text_map_propagator(|p| p.extract(&Headers(request.headers())));
        let _ = span.set_parent(parent);

        async move {
            let started = Instant::now();
            let caller = match shared.authorize(&path, request.extensions().get::<Peer>()) {
                Ok(caller) => caller,
                Err(status) => return Ok(status.into_http()),
            };
            request.extensions_mut().insert(caller.clone());
            let place = match shared.places.take() {
                Ok(place) => place,
                Err(status) => return Ok(status.into_http()),
            };
            request.extensions_mut().insert(place.clone());
            let timing = Timing::new(&path, &shared.duration);
            request.extensions_mut().insert(timing.clone());
            let budget = shared.budget(&path, &request);
            let context = CallContext::new(budget, request_id).made_by(caller);
            let work = AssertUnwindSafe(context.scope(inner.call(request))).catch_unwind();
            let response = match tokio::time::timeout(budget, work).await {
                Ok(Ok(result)) => result?,
                Ok(Err(_)) => {
                    tracing::error!("the handler panicked");
                    Status::internal("internal error").into_http()
                }
                Err(_) => Status::deadline_exceeded("the deadline has passed").into_http(),
            };
            record(&timing, &response, started.elapsed());
            Ok(response)
        }
        .instrument(span)
        .boxed()
    }
}

impl Shared {
    fn authorize(&self, path: &str, peer: Option<&Peer>) -> Result<Caller, Status> {
        let id = peer.and_then(|peer| peer.id.as_ref());
        // One CA may serve several trust domains: names count in ours alone.
        let ours = id.is_some_and(|id| id.trust_domain == self.credentials.trust_domain());
        let trusted = ours && peer.is_some_and(|peer| peer.is_trusted(&self.credentials));
        match id.map(|id| &id.caller) {
            Some(caller) if trusted && self.policy.allows(path, caller) => Ok(caller.clone()),
            _ => {
                let name = id.map_or_else(|| "nobody".into(), SpiffeId::to_string);
                tracing::warn!(caller = %name, trusted, callee = self.service, method = path, "call refused");
                // The path is a stranger's: only a known one becomes a label.
                let method = if self.policy.get(path).is_some() {
                    path
                } else {
                    "_OTHER"
                };
                self.refused
                    .add(1, &[KeyValue::new("rpc.method", method.to_owned())]);
                Err(Status::permission_denied(
                    "the caller may not make this call",
                ))
            }
        }
    }

    /// The caller's deadline, but never more than the contract's.
    fn budget(&self, path: &str, request: &Request<Body>) -> Duration {
        let most = self
            .policy
            .get(path)
            .map_or(FALLBACK_DEADLINE, |rpc| rpc.deadline);
        request
            .headers()
            .get("grpc-timeout")
            .and_then(|value| parse_grpc_timeout(value.to_str().ok()?))
            .map_or(most, |asked| asked.min(most))
    }
}

fn record(timing: &Timing, response: &Response<Body>, elapsed: Duration) {
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code());
    tracing::Span::current().record("rpc.grpc.status_code", code as i32);
    timing.record_call(code, elapsed);
    tracing::debug!(code = ?code, elapsed_us = elapsed.as_micros() as u64, "served");
}

fn request_id(request: &Request<Body>) -> String {
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| acceptable_request_id(id))
        .map_or_else(new_request_id, str::to_owned)
}

/// `grpc-timeout` of the gRPC HTTP/2 protocol: up to eight digits and a unit.
fn parse_grpc_timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3_600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timeouts_are_read() {
        assert_eq!(parse_grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            parse_grpc_timeout("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3_600))
        );
        for wrong in ["", "m", "1", "123456789m", "-1m", "1x", "1.5S"] {
            assert_eq!(parse_grpc_timeout(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_timeout_is_read_without_a_panic(value in "\\PC*") {
            let _ = parse_grpc_timeout(&value);
        }
    }
}
