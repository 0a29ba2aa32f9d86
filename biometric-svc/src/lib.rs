//! Biometric templates under opaque subject ids: enrolment, 1:N
//! identification, erasure. Knows no people; returns no vector.

mod app;
#[cfg(feature = "bulk")]
pub mod bulk;
mod config;
mod domain;
mod error;
mod grpc;
mod index;
mod store;

use std::sync::Arc;

pub use config::{Config, ModelConfig};
use mesh::{
    admin::Readiness,
    custody::{self, Custody, CustodyApi, CustodyError, DiagnosisApi},
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
    Custody(#[from] CustodyError),
    #[error(transparent)]
    NamedKey(#[from] NamedKeyError),
    #[error("models[{index}]: {detail}")]
    Model { index: usize, detail: &'static str },
    #[error("the index cannot be loaded: {0}")]
    Load(#[from] error::Error),
    #[error("the search's threads cannot be started: {0}")]
    Threads(#[from] std::io::Error),
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
    let keyring =
        Keyring::open_or_create(SERVICE, &config.keyring, environment.clock.as_ref()).await?;
    tokio::spawn(keyring.clone().watch(environment.shutdown.clone()));
    let database =
        db::open::<store::migration::Migrator>(&config.database, environment.shutdown.clone())
            .await?;
    let probe_key = db::named_key::load_or_create(&database.read, &keyring, "probe-mac").await?;

    let store = store::Store::new(database.clone(), keyring.clone());
    let custody = Custody::open(custody::Parts {
        service: SERVICE,
        db: database,
        keyring,
        custodian: Arc::new(store.clone()),
        clock: environment.clock.clone(),
        residency: config.residency,
        backup: config.backup,
        erasure: Some(config.erasure),
        rotate_every_days: config.keyring.rotate_every_days,
        shutdown: environment.shutdown.clone(),
        restart: environment.restarter(),
    })
    .await?;
    let mut rotations = index::Rotations::new();
    let mut known = Vec::with_capacity(models.len());
    for model in models {
        let now = environment.clock.now();
        let newest = store.rotation(&model, now).await?;
        rotations.insert(model.name.clone(), newest.rotation);
        known.push(app::KnownModel {
            model,
            rotation: newest.number,
        });
    }
    let search = &config.search;
    let index = index::LocalIndex::new(rotations, search.threads(), search.queue)?;
    let templates = Readiness::default();
    let app = app::App::new(app::Parts {
        store,
        matcher: Arc::new(index),
        models: known,
        probe_key,
        custody: custody.clone(),
        restart: environment.restarter(),
        clock: environment.clock.clone(),
        templates: templates.clone(),
    });

    let service = BiometricServiceServer::new(grpc::BiometricApi::new(app.clone()))
        .max_decoding_message_size(MAX_MESSAGE);
    let server = Server {
        service: SERVICE,
        config: config.server,
        credentials: member.credentials.clone(),
        policy: member.policy.clone(),
        readiness: member.readiness.clone(),
        components: vec![("templates", templates)],
    };
    let counting = app.clone();
    let routes = Routes::new(service)
        .add_service(CustodyApi::server(custody.clone()))
        .add_service(DiagnosisApi::server(
            custody,
            Some(Arc::new(move || counting.corrupt_rows() as u64)),
        ));
    let serving = server.serve(listeners.server, routes, environment.shutdown.clone());
    let loading = async {
        app.load().await?;
        // What has changed meanwhile: an index is not served that is older
        // than it may be.
        app.read_feed().await?;
        member.readiness.set(true);
        tracing::info!("serving");
        app.follow(environment.shutdown.clone()).await;
        Ok::<_, RunError>(())
    };
    // Callers are answered while the index loads: that it is not ready.
    tokio::try_join!(async { serving.await.map_err(RunError::from) }, loading)?;
    Ok(())
}
