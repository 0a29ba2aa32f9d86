//! What every service does around its own work: arguments, configuration,
//! logs, identity, the private port, signals.

use std::{
    fmt::Display,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Parser;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::{
    Clock, SystemClock,
    admin::{self, Readiness},
    client::{self, EndpointError, MeshChannel},
    config::{self, PeerConfig, TelemetryConfig, TlsConfig},
    hardening, jose,
    policy::Policy,
    shutdown::{self, Shutdown},
    telemetry,
    tls::{CredentialError, Credentials},
};

/// sysexits.h `EX_CONFIG`.
const EXIT_CONFIG: u8 = 78;

#[derive(Parser)]
struct Arguments {
    /// TOML file; `PROPDEV_<SECTION>__<KEY>` variables override it.
    #[arg(long)]
    config: PathBuf,
}

/// A service's configuration, as far as starting needs to know it.
pub trait ServiceConfig: DeserializeOwned {
    fn telemetry(&self) -> &TelemetryConfig;
}

/// What a service is given to run in.
#[derive(Clone)]
pub struct Environment {
    pub shutdown: Shutdown,
    pub registry: prometheus::Registry,
    pub clock: Arc<dyn Clock>,
    /// Set by what must have the process start over once it has drained.
    pub start_over: Arc<AtomicBool>,
}

impl Environment {
    /// For services inside a test.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            registry: prometheus::Registry::new(),
            clock: SystemClock::shared(),
            start_over: Arc::default(),
        }
    }

    /// Drains the process and has it start over: what it holds in memory is of
    /// another store.
    pub fn restarter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let (shutdown, start_over) = (self.shutdown.clone(), self.start_over.clone());
        Arc::new(move || {
            start_over.store(true, Ordering::Relaxed);
            shutdown.cancel();
        })
    }
}

/// The whole of a service's `main`: exits 0 after a drain, 78 when the
/// configuration is wrong, 1 when the service fails; starts over in place where
/// something asked for that.
pub fn main<C, F, Fut, E>(service: &'static str, run: F) -> ExitCode
where
    C: ServiceConfig,
    F: FnOnce(C, Environment) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Display,
{
    let arguments = Arguments::parse();
    jose::install_crypto();
    let config: C = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return fail(service, &error, EXIT_CONFIG),
    };
    if let Err(error) = hardening::no_dumps() {
        return fail(service, &error, 1);
    }
    // With fewer it serves fewer.
    let _ = hardening::all_descriptors();
    hardening::private_files();
    let locked = hardening::lock_memory();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(service, &error, 1),
    };
    let ended = runtime.block_on(async {
        let telemetry = match telemetry::init(service, config.telemetry()) {
            Ok(telemetry) => telemetry,
            Err(error) => return Some(fail(service, &error, EXIT_CONFIG)),
        };
        let shutdown = match shutdown::on_signals() {
            Ok(shutdown) => shutdown,
            Err(error) => return Some(fail(service, &error, 1)),
        };
        if !matches!(locked, Ok(true)) {
            tracing::info!("memory may be swapped out: it may not be locked without a limit");
        }
        let environment = Environment {
            registry: telemetry.registry.clone(),
            ..Environment::new(shutdown)
        };
        let start_over = environment.start_over.clone();
        match run(config, environment).await {
            Ok(()) if start_over.load(Ordering::Relaxed) => None,
            Ok(()) => Some(ExitCode::SUCCESS),
            Err(error) => {
                tracing::error!(%error, "stopped");
                Some(fail(service, &error, 1))
            }
        }
    });
    // Closes every socket before the next program binds the same ones.
    drop(runtime);
    ended.unwrap_or_else(|| fail(service, &start_over(), 1))
}

/// The same program in the same process, from its beginning; returns only when
/// it cannot be had.
fn start_over() -> std::io::Error {
    Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .exec()
}

#[expect(
    clippy::print_stderr,
    reason = "said before there are logs, or beside them"
)]
fn fail(service: &str, error: &dyn Display, code: u8) -> ExitCode {
    eprintln!("{service}: {error}");
    ExitCode::from(code)
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("the contracts compiled in are broken: {0}")]
    Policy(&'static crate::policy::PolicyError),
    #[error("the certificate is of {found}, this is svc/{wanted}")]
    WrongIdentity { found: String, wanted: &'static str },
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: std::net::SocketAddr,
        source: std::io::Error,
    },
}

/// This process's place in the mesh.
#[derive(Clone)]
pub struct Member {
    pub service: &'static str,
    pub credentials: Arc<Credentials>,
    pub policy: Arc<Policy>,
    pub readiness: Readiness,
}

impl Member {
    /// Loads the identity, watches it for changes, serves the private port.
    pub fn join(
        service: &'static str,
        tls: TlsConfig,
        admin: TcpListener,
        environment: &Environment,
    ) -> Result<Self, StartError> {
        let credentials = Credentials::load(tls)?;
        let found = credentials.id().caller;
        if found != crate::Caller::Service(service.into()) {
            return Err(StartError::WrongIdentity {
                found: found.to_string(),
                wanted: service,
            });
        }
        let policy = Policy::built_in().map_err(StartError::Policy)?;
        let readiness = Readiness::default();
        tokio::spawn(credentials.clone().watch(environment.shutdown.clone()));
        tokio::spawn(admin::serve(
            admin,
            readiness.clone(),
            environment.registry.clone(),
            environment.shutdown.clone(),
        ));
        Ok(Self {
            service,
            credentials,
            policy,
            readiness,
        })
    }

    /// A channel to a peer, dialled at the first call.
    pub fn connect(
        &self,
        service: &'static str,
        peer: &PeerConfig,
    ) -> Result<MeshChannel, EndpointError> {
        client::connect(
            service,
            &peer.endpoint,
            self.credentials.clone(),
            self.policy.clone(),
        )
    }
}

pub async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}
