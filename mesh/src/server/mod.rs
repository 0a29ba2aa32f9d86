//! The one server of the mesh: mTLS listener, the call's layers in one order,
//! health, drain.

mod accept;
mod call;
mod handshakes;

use std::{sync::Arc, time::Duration};

pub use accept::{Peer, accept_tls};
pub use handshakes::HandshakeLimits;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{
    admin::Readiness, config::ServerConfig, policy::Policy, shutdown::Shutdown, tls::Credentials,
};

/// Largest message taken, bytes: a batch of 1,000 webhook events and room.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// Serves gRPC until shutdown, then drains for as long as configured.
pub struct Server {
    pub service: &'static str,
    pub config: ServerConfig,
    pub credentials: Arc<Credentials>,
    pub policy: Arc<Policy>,
    pub readiness: Readiness,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the gRPC listener failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

impl Server {
    pub async fn serve(
        self,
        listener: TcpListener,
        routes: Routes,
        shutdown: Shutdown,
    ) -> Result<(), ServeError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut ready = self.readiness.watch();
        let watching = shutdown.clone();
        tokio::spawn(async move {
            loop {
                let status = if *ready.borrow_and_update() {
                    tonic_health::ServingStatus::Serving
                } else {
                    tonic_health::ServingStatus::NotServing
                };
                reporter.set_service_status("", status).await;
                tokio::select! {
                    () = watching.cancelled() => {
                        reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
                        return;
                    }
                    changed = ready.changed() => if changed.is_err() { return },
                }
            }
        });

        let layer = call::CallLayer::new(
            self.service,
            self.policy,
            self.credentials.clone(),
            self.config.max_concurrent_calls,
        );
        let incoming = accept::incoming(listener, self.credentials, shutdown.clone());
        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(Some(1_024))
            .http2_max_header_list_size(Some(32 * 1024))
            .http2_max_pending_accept_reset_streams(Some(64))
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .max_connection_age(self.config.connection_age())
            .tcp_nodelay(true)
            .layer(layer)
            .add_routes(routes.add_service(health.max_decoding_message_size(MAX_MESSAGE)))
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        tokio::pin!(serving);
        tokio::select! {
            result = &mut serving => return Ok(result?),
            () = shutdown.cancelled() => {}
        }
        match tokio::time::timeout(self.config.drain(), serving).await {
            Ok(result) => Ok(result?),
            Err(_) => {
                tracing::warn!("calls still under way when the drain ended");
                Ok(())
            }
        }
    }
}
