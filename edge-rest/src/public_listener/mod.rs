//! The HTTPS listener for partners: bounded in connections, streams, header
//! size and header time, and drained at shutdown.

mod certificate;
mod client_certificate;
mod places;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
pub(crate) use certificate::Certificate;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use mesh::{server::accept_tls, shutdown::Shutdown};
use places::Places;
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::{bounds::Bounds, caller::Connection, config::PublicConfig};

const MAX_HEADERS: u32 = 32 * 1024;

pub(crate) struct Public {
    pub(crate) config: PublicConfig,
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) bounds: Bounds,
    pub(crate) drain: Duration,
}

impl Public {
    pub(crate) async fn serve(self, listener: TcpListener, router: Router, shutdown: Shutdown) {
        let certificate = self.certificate.clone();
        let mut connections = accept_tls(
            listener,
            move || certificate.server_config(),
            "public",
            self.bounds.handshakes,
            shutdown.clone(),
        );
        let places = Places::new(&self.config);
        let graceful = GracefulShutdown::new();
        loop {
            let connection = tokio::select! {
                () = shutdown.cancelled() => break,
                connection = connections.recv() => connection,
            };
            let Some((stream, address)) = connection else {
                break;
            };
            // One too many is closed: waiting would hold memory for strangers.
            let Some(place) = places.take(address.ip()) else {
                tracing::debug!("too many connections");
                continue;
            };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let from = Connection {
                address: address.ip(),
                certificates: shown(stream.get_ref().1),
            };
            let asked = Arc::new(AtomicBool::new(false));
            let asks = asked.clone();
            let service = router
                .clone()
                .map_request(move |request: http::Request<Incoming>| {
                    asks.store(true, Ordering::Relaxed);
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(from.clone());
                    request
                });
            let connection = builder(http2, &self.bounds)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                .into_owned();
            let connection = graceful.watch(connection);
            let head = self.bounds.head;
            tokio::spawn(async move {
                tokio::select! {
                    ended = connection => if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    },
                    () = silence(head, &asked) => tracing::debug!("no request came in time"),
                }
                drop(place);
            });
        }
        drop(connections);
        if tokio::time::timeout(self.drain, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("requests still under way when the drain ended");
        }
    }
}

/// The certificates that the client has proved to be its own.
fn shown(session: &rustls::ServerConnection) -> Arc<[Vec<u8>]> {
    session
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.to_vec())
        .collect()
}

/// Ends when a connection has brought no request in this time: HTTP/2 would
/// wait for its first one without any limit.
async fn silence(limit: Duration, asked: &AtomicBool) {
    tokio::time::sleep(limit).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// Speaks what ALPN agreed on. Guessing from the first bytes instead would let
/// a silent client wait without any time limit.
fn builder(http2: bool, bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(MAX_HEADERS as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(MAX_HEADERS)
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(256)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    }
}

#[cfg(test)]
mod tests;
