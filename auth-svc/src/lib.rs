//! The authorisation server: OAuth clients of partners, their secrets, and
//! access tokens by client credentials, by face and by plate.

mod app;
mod clients;
mod config;
mod domain;
mod error;
mod grpc;
mod store;

use std::sync::Arc;

pub use config::{Config, TokenConfig};
use mesh::{
    client::EndpointError,
    custody::{self, Custody, CustodyApi, CustodyError, DiagnosisApi},
    db::{self, named_key::NamedKeyError},
    keyring::{Keyring, KeyringError},
    limit::{Faults, Limits},
    server::{MAX_MESSAGE, ServeError, Server},
    service::{self, Environment, Member, StartError},
};
use propdev_proto::auth::{
    client_service_server::ClientServiceServer,
    signing_key_service_server::SigningKeyServiceServer, token_service_server::TokenServiceServer,
    verification_service_server::VerificationServiceServer,
};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub const SERVICE: &str = "auth-svc";

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
    Custody(#[from] CustodyError),
    #[error(transparent)]
    NamedKey(#[from] NamedKeyError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Bounds(#[from] config::OutOfBounds),
    #[error("the signing keys cannot be loaded: {0}")]
    SigningKey(#[from] error::Error),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// The whole service, until shutdown.
pub async fn run(
    config: Config,
    listeners: Listeners,
    environment: Environment,
) -> Result<(), RunError> {
    config.tokens.validate()?;
    let member = Member::join(SERVICE, config.tls.clone(), listeners.admin, &environment)?;
    let keyring =
        Keyring::open_or_create(SERVICE, &config.keyring, environment.clock.as_ref()).await?;
    tokio::spawn(keyring.clone().watch(environment.shutdown.clone()));
    let database =
        db::open::<store::migration::Migrator>(&config.database, environment.shutdown.clone())
            .await?;
    let custody = Custody::open(custody::Parts {
        service: SERVICE,
        db: database.clone(),
        keyring: keyring.clone(),
        custodian: Arc::new(store::Records::new(
            database.clone(),
            keyring.clone(),
            app::acted,
        )),
        clock: environment.clock.clone(),
        residency: config.residency,
        backup: config.backup,
        // It knows no person.
        erasure: None,
        rotate_every_days: config.keyring.rotate_every_days,
        shutdown: environment.shutdown.clone(),
        restart: environment.restarter(),
    })
    .await?;
    let secret_key =
        db::named_key::load_or_create(&database.read, &keyring, "client-secret").await?;
    let store = store::Store::new(database, keyring);
    let app = app::App::new(app::Parts {
        outbox: app::outbox(store.clone()),
        store,
        secret_key,
        tokens: config.tokens,
        biometric: clients::Biometric::new(
            member.connect("biometric-svc", &config.peers.biometric_svc)?,
        ),
        access: clients::Access::new(member.connect("access-svc", &config.peers.access_svc)?),
        clock: environment.clock.clone(),
        snapshots: app::Snapshots::default(),
        revocations: app::Revocations::default(),
        requests: Limits::default(),
        failures: Faults::new(config.limits.replicas),
        proven: app::proven(),
        misses: Faults::new(config.limits.replicas),
        summaries: app::Summaries::default(),
        behind: app::Behind::default(),
    });
    app.ensure_signing_key().await?;
    let background = app.run_behind(&environment.shutdown);

    let routes = Routes::new(
        TokenServiceServer::new(grpc::TokenApi::new(app.clone()))
            .max_decoding_message_size(MAX_MESSAGE),
    )
    .add_service(VerificationServiceServer::new(grpc::VerificationApi::new(
        app.clone(),
    )))
    .add_service(SigningKeyServiceServer::new(grpc::SigningKeyApi::new(
        app.clone(),
    )))
    .add_service(ClientServiceServer::new(grpc::ClientApi::new(app)))
    .add_service(CustodyApi::server(custody.clone()))
    .add_service(DiagnosisApi::server(custody, None));
    let server = Server {
        service: SERVICE,
        config: config.server,
        credentials: member.credentials.clone(),
        policy: member.policy.clone(),
        readiness: member.readiness.clone(),
        components: vec![],
    };
    member.readiness.set(true);
    tracing::info!("serving");
    server
        .serve(listeners.server, routes, environment.shutdown)
        .await?;
    // What the audit has yet to be told is written before the process ends.
    background.join_all().await;
    Ok(())
}
