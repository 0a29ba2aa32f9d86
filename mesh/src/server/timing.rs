//! How long calls took and how they ended, as OpenTelemetry's
//! `rpc.server.duration`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Histogram};
use tonic::Code;

/// Of one call; clones are of the same.
#[derive(Clone)]
pub(super) struct Timing {
    method: Arc<str>,
    duration: Histogram<f64>,
    by_request: Arc<AtomicBool>,
}

impl Timing {
    pub(super) fn new(method: &str, duration: &Histogram<f64>) -> Self {
        Self {
            method: method.into(),
            duration: duration.clone(),
            by_request: Arc::default(),
        }
    }

    /// The call holds several requests, each of which counts as one: it has
    /// answered itself before any of them is done.
    pub(super) fn is_by_request(&self) {
        self.by_request.store(true, Ordering::Release);
    }

    pub(super) fn record_call(&self, code: Code, elapsed: Duration) {
        if !self.by_request.load(Ordering::Acquire) {
            self.record(code, elapsed);
        }
    }

    pub(super) fn record(&self, code: Code, elapsed: Duration) {
        self.duration.record(
            elapsed.as_secs_f64(),
            &[
                KeyValue::new("rpc.method", self.method.to_string()),
                KeyValue::new("rpc.grpc.status_code", i64::from(code as i32)),
            ],
        );
    }
}
