//! The private plaintext port: liveness, readiness, metrics, nothing else.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use prometheus::TextEncoder;
use tokio::{net::TcpListener, sync::watch};

use crate::shutdown::Shutdown;

/// Whether this process can do its work by its own state alone (database,
/// keys, certificate, index); peers do not count.
#[derive(Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<bool>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Readiness {
    pub fn set(&self, ready: bool) {
        self.state.send_replace(ready);
    }

    pub fn get(&self) -> bool {
        *self.state.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<bool> {
        self.state.subscribe()
    }
}

#[derive(Clone)]
struct Admin {
    readiness: Readiness,
    registry: prometheus::Registry,
}

pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    registry: prometheus::Registry,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Admin {
            readiness,
            registry,
        });
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.readiness.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> Result<String, StatusCode> {
    TextEncoder::new()
        .encode_to_string(&admin.registry.gather())
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
