//! The thin REST edge: translates HTTPS to gRPC for partners, and carries
//! commands out to their gateways. It owns nothing that outlives the process.

mod bounds;
mod caller;
pub mod config;
mod egress;
mod grpc;
mod http;
mod inside;
mod public_listener;
mod syntax;

use std::sync::Arc;

use bounds::Bounds;
use mesh::{
    client::EndpointError,
    server::{MAX_MESSAGE, ServeError, Server},
    service::{Environment, Member, StartError, listen},
    shutdown::Shutdown,
    tls::CredentialError,
};
use propdev_proto::gateway::{
    command_service_server::CommandServiceServer, witness_service_server::WitnessServiceServer,
};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub use config::Config;

pub const SERVICE: &str = "edge-rest";

/// Bound by whoever starts the service, so that a test can choose free ports.
pub struct Listeners {
    pub public: TcpListener,
    pub server: TcpListener,
    pub admin: TcpListener,
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("[public] {0}")]
    Certificate(#[from] CredentialError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Binds the configured addresses and runs.
pub async fn start(config: Config, environment: Environment) -> Result<(), ServiceError> {
    let listeners = Listeners {
        public: listen(config.public.listen).await?,
        server: listen(config.server.listen).await?,
        admin: listen(config.admin.listen).await?,
    };
    run(config, listeners, environment).await
}

/// The whole service, until shutdown.
pub async fn run(
    config: Config,
    listeners: Listeners,
    environment: Environment,
) -> Result<(), ServiceError> {
    let shutdown = environment.shutdown.clone();
    let member = Member::join(SERVICE, config.tls.clone(), listeners.admin, &environment)?;
    let inside = Arc::new(inside::MeshInside::new(
        member.connect("auth-svc", &config.peers.auth)?,
        member.connect("access-svc", &config.peers.access)?,
    ));
    let certificate = public_listener::Certificate::load(&config.public)?;
    tokio::spawn(certificate.clone().watch(shutdown.clone()));
    let egress = Arc::new(egress::Egress::new(config.egress, inside.clone()));
    let bounds = Bounds::default();
    let edge = http::Edge::new(inside, &config, bounds.request);
    let reporting = tokio::spawn(edge.clone().report_refused(shutdown.clone()));
    let router = http::router(edge);

    let server = Server {
        service: SERVICE,
        config: config.server.clone(),
        credentials: member.credentials.clone(),
        policy: member.policy.clone(),
        readiness: member.readiness.clone(),
        components: vec![],
    };
    let commands = grpc::Commands::new(egress.clone(), environment.clock);
    let commands = CommandServiceServer::new(commands).max_decoding_message_size(MAX_MESSAGE);
    let witnesses = WitnessServiceServer::new(grpc::Witnesses::new(egress));
    // Openings still under way outside need their command carried out: the
    // inside listener drains after the outside one.
    let inside_shutdown = Shutdown::new();
    let serving = server.serve(
        listeners.server,
        Routes::new(commands).add_service(witnesses),
        inside_shutdown.clone(),
    );
    let public = public_listener::Public {
        config: config.public,
        certificate,
        bounds,
        drain: config.server.drain(),
    };
    let public = async {
        public
            .serve(listeners.public, router, shutdown.clone())
            .await;
        inside_shutdown.cancel();
        Ok(())
    };
    let unready = async {
        shutdown.cancelled().await;
        member.readiness.set(false);
        Ok(())
    };
    member.readiness.set(true);
    tokio::try_join!(serving, public, unready)?;
    // Its last report goes out while the mesh still stands, if it does.
    let _ = reporting.await;
    Ok(())
}
