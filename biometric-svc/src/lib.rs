//! Biometric templates under opaque subject ids: enrolment, 1:N
//! identification, erasure. Knows no people; returns no vector.

mod app;
mod config;
mod domain;
mod error;
mod grpc;
mod index;
mod store;

use std::sync::Arc;

pub use config::{Config, ModelConfig};
use mesh::{
    db::{self, named_key::NamedKeyError},
    keyring::{Keyring, KeyringError},
    server::{MAX_MESSAGE, ServeError, Server},
    service::{self, Environment, Member, StartError},
};
use propdev_proto::biometric::biometric_service_server::BiometricServiceServer;
use tokio::net::TcpListener;
use tonic::service::Routes;

pub const SERVICE: &str = "biometric-svc";

/// The sockets a process serves on.
pub struct Listeners {
    pub server: TcpListener,
    pub admin: TcpListener,
}

impl Listeners {
    pub async fn bind(config: &Config) -> Result<Self, RunError> {
        Ok(Self {
            server: service::listen(config.server.listen).await?,
            admin: service::listen(config.admin.listen).await?,
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Database(#[from] db::OpenError),
    #[error(transparent)]
    NamedKey(#[from] NamedKeyError),
    #[error("models[{index}]: {detail}")]
    Model { index: usize, detail: &'static str },
    #[error("the index cannot be loaded: {0}")]
    Load(#[from] error::Error),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// The whole service, until shutdown.
pub async fn run(
    config: Config,
    listeners: Listeners,
    environment: Environment,
) -> Result<(), RunError> {
    let models = config.models()?;
    let member = Member::join(SERVICE, config.tls.clone(), listeners.admin, &environment)?;
    let keyring = Keyring::open_or_create(SERVICE, &config.keyring)?;
    let database =
        db::open::<store::migration::Migrator>(&config.database, environment.shutdown.clone())
            .await?;
    let probe_key = db::named_key::load_or_create(&database.read, &keyring, "probe-mac").await?;

    let store = store::Store::new(database, keyring);
    let index = Arc::new(index::LocalIndex::new(&models));
    let app = app::App::new(store, index, models, probe_key, environment.clock.clone());
    app.load().await?;

    let service = BiometricServiceServer::new(grpc::BiometricApi::new(app))
        .max_decoding_message_size(MAX_MESSAGE);
    let server = Server {
        service: SERVICE,
        config: config.server,
        credentials: member.credentials.clone(),
        policy: member.policy.clone(),
        readiness: member.readiness.clone(),
    };
    member.readiness.set(true);
    tracing::info!("serving");
    Ok(server
        .serve(listeners.server, Routes::new(service), environment.shutdown)
        .await?)
}
