//! Rights, money and doors: the registry, the decision whether a device opens,
//! commands to partners, and the record of it all.

mod app;
mod clients;
mod config;
mod domain;
mod error;
mod grpc;
mod store;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use audit_log::{CheckpointError, LogKey};
use config::OutOfBounds;
pub use config::{Config, TokenConfig};
pub use domain::plate;
use mesh::{
    client::EndpointError,
    custody::{self, Custody, CustodyError},
    db::{self, named_key::NamedKeyError},
    keyring::{Keyring, KeyringError},
    limit::{Faults, Limits, Tally},
    server::{MAX_MESSAGE, ServeError, Server},
    service::{self, Environment, Member, StartError},
};
#[cfg(feature = "bulk")]
pub use store::bulk;
use tokio::net::TcpListener;

pub const SERVICE: &str = "access-svc";

/// What has not got its number by then gets it at the next start.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Pseudonyms whose row need not be looked for again.
const REMEMBERED_PSEUDONYMS: u64 = 200_000;

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
    #[error("the erasures of the ledger cannot be done again: {0}")]
    Replay(#[from] error::Error),
    #[error(transparent)]
    NamedKey(#[from] NamedKeyError),
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    #[error("audit.origin: {0}")]
    Log(#[from] CheckpointError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// The whole service, until shutdown.
pub async fn run(
    config: Config,
    listeners: Listeners,
    environment: Environment,
) -> Result<(), RunError> {
    config.audit.validate()?;
    let shutdown = environment.shutdown.clone();
    let member = Member::join(SERVICE, config.tls.clone(), listeners.admin, &environment)?;
    let keyring =
        Keyring::open_or_create(SERVICE, &config.keyring, environment.clock.as_ref()).await?;
    tokio::spawn(keyring.clone().watch(shutdown.clone()));
    let database =
        db::open::<store::migration::Migrator>(&config.database, shutdown.clone()).await?;
    let custody = Custody::open(custody::Parts {
        service: SERVICE,
        db: database.clone(),
        keyring: keyring.clone(),
        custodian: Arc::new(store::Records::new(database.clone(), keyring.clone())),
        clock: environment.clock.clone(),
        residency: config.residency,
        backup: config.backup,
        erasure: Some(config.erasure),
        rotate_every_days: config.keyring.rotate_every_days,
        shutdown: shutdown.clone(),
        restart: environment.restarter(),
    })
    .await?;
    let key = async |name| db::named_key::load_or_create(&database.read, &keyring, name).await;
    let keys = store::NamedKeys {
        pseudonym: key("pseudonym").await?,
        fingerprint: key("fingerprint").await?,
        entry: key(store::ENTRY_KEY).await?,
    };
    let origin = config.audit.origin.clone();
    let origin = origin.unwrap_or_else(|| format!("{}/audit", config.tls.trust_domain));
    let log_key = LogKey::from_seed(&origin, key("audit-checkpoint").await?.expose())?;

    let store = store::Store::new(database, keyring, keys);
    let app = app::App::new(app::Parts {
        remembered: moka::sync::Cache::new(REMEMBERED_PSEUDONYMS),
        probes: app::probes(store.clone()),
        near_misses: app::NearMisses::default(),
        recorder: app::recorder(store.clone(), environment.clock.clone()),
        feeds: app::Feeds::new(shutdown.clone()),
        log: app::Log::new(log_key, config.audit, |name| store.lease(name))?,
        store,
        custody: custody.clone(),
        in_use: AtomicBool::new(false),
        restored: environment.start_over.clone(),
        verifier: app::Verifier::new(
            clients::Auth::new(member.connect("auth-svc", &config.peers.auth_svc)?),
            config.tokens.issuer,
            config.tokens.audience,
            environment.clock.clone(),
        ),
        biometric: clients::Biometric::new(
            member.connect("biometric-svc", &config.peers.biometric_svc)?,
        ),
        edge: clients::Edge::new(member.connect("edge-rest", &config.peers.edge_rest)?),
        clock: environment.clock.clone(),
        command_expiry: config.commands.expiry(),
        pending: app::Pending::default(),
        requests: Limits::default(),
        misses: Faults::new(config.limits.replicas),
        limited: Tally::new(app::MOST_NAMED),
    });
    app.replay_erasures().await?;
    tokio::spawn(app.clone().keep_erasures(shutdown.clone()));
    tokio::spawn(app.clone().keep_galleries(shutdown.clone()));
    tokio::spawn(app.clone().keep_verifier_fresh(shutdown.clone()));
    tokio::spawn(app.clone().keep_house(shutdown.clone()));
    tokio::spawn(app.clone().number_feeds(shutdown.clone()));
    tokio::spawn(app.clone().follow_acts(shutdown.clone()));
    let keeping_log = tokio::spawn(app.clone().keep_log(shutdown.clone()));
    let telling = tokio::spawn(app.clone().keep_outside_told(shutdown.clone()));
    let summing_up = tokio::spawn(app.clone().summarise(shutdown.clone()));

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
    let routes = grpc::routes(app.clone(), custody, MAX_MESSAGE);
    server.serve(listeners.server, routes, shutdown).await?;
    // The last minute's is told before the process ends.
    let _ = summing_up.await;
    let _ = tokio::join!(keeping_log, telling);
    let _ = tokio::time::timeout(CLOSE_WITHIN, app.close_log()).await;
    Ok(())
}
