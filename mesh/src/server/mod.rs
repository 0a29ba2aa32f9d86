//! The one server of the mesh: mTLS listener, the call's layers in one order,
//! health, drain.

mod accept;
mod batch;
mod call;
mod handshakes;
mod places;
mod timing;

use std::{sync::Arc, time::Duration};

pub use accept::{Peer, accept_tls};
pub use batch::answer_each;
pub use handshakes::HandshakeLimits;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

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
    /// What has a health of its own under its name, and takes nobody out of
    /// rotation.
    pub components: Vec<(&'static str, Readiness)>,
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
        for (name, readiness) in [("", self.readiness)].into_iter().chain(self.components) {
            tokio::spawn(report(reporter.clone(), name, readiness, shutdown.clone()));
        }

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

/// Tells of a health until shutdown.
async fn report(
    reporter: HealthReporter,
    name: &'static str,
    readiness: Readiness,
    shutdown: Shutdown,
) {
    let mut ready = readiness.watch();
    loop {
        let status = if *ready.borrow_and_update() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        reporter.set_service_status(name, status).await;
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = ready.changed() => if changed.is_err() { return },
        }
    }
    reporter
        .set_service_status(name, ServingStatus::NotServing)
        .await;
}
