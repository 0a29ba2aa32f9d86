//! A whole mesh inside a test: the services' own `run`, on sockets of their
//! own, talking mutual TLS as they do in production. No layer is replaced and
//! no call is short-cut.

mod assertion;
mod balancer;
mod clock;
mod collector;
mod fleet;
mod outsider;
mod partner;
mod processes;

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

pub use assertion::ClientKey;
pub use clock::ShiftedClock;
pub use collector::{Collector, Told};
use devmesh::{
    estate::{self, Estate},
    layout::{Addresses, Layout, Sockets},
    sim::Sim,
};
pub use fleet::{Fleet, REPLICATED};
use mesh::{service::Environment, shutdown::Shutdown};
pub use outsider::{NO_MESSAGE, Outsider, issue_as};
pub use partner::{Answer, Partner};
use private_postgres::Postgres;
pub use processes::ProcessMesh;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A running mesh with its estate; everything ends when it is dropped.
pub struct Mesh {
    pub layout: Layout,
    pub estate: Estate,
    pub sim: Sim,
    pub folder: TempDir,
    /// What the services take for the time.
    pub clock: Arc<ShiftedClock>,
    replica: Option<Addresses>,
    running: Vec<Running>,
}

/// A program inside the test, until it is told to end.
struct Running {
    name: &'static str,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

fn postgres() -> &'static Postgres {
    Postgres::shared().expect("a private PostgreSQL server")
}

impl Database {
    /// An empty store for each service that asks; none is the layout's own.
    fn urls(self) -> impl Fn(&str) -> Option<String> {
        let run = uuid::Uuid::new_v4().simple().to_string();
        move |service| match self {
            Self::Sqlite => None,
            Self::Postgres => {
                let made = postgres().create_database(&format!("{service}-{run}"));
                Some(made.expect("a database"))
            }
        }
    }
}

impl Mesh {
    pub async fn start(database: Database) -> Self {
        Self::start_with(database, |_, text| text).await
    }

    /// With each service's configuration (TOML) edited.
    pub async fn start_with(database: Database, edit: impl Fn(&str, String) -> String) -> Self {
        mesh::jose::install_crypto();
        let folder = tempfile::tempdir().expect("a folder");
        let (mut sockets, addresses) = Sockets::bind().expect("sockets");
        let layout = Layout::write(folder.path(), addresses, &database.urls()).expect("a layout");
        for service in devmesh::layout::SERVICES {
            let file = layout.config_file(service);
            let text = std::fs::read_to_string(&file).expect("a configuration");
            std::fs::write(file, edit(service, text)).expect("written");
        }
        let mut running = Vec::new();
        let clock = Arc::new(ShiftedClock::default());

        let simulator = partner_sim::config::load(&layout.config_file("partner-sim"))
            .expect("the simulator's configuration");
        let shutdown = Shutdown::new();
        let listener = sockets.simulator.try_clone().expect("a socket");
        let serving = partner_sim::run(simulator, listener, shutdown.clone());
        running.push(Running {
            name: "partner-sim",
            shutdown,
            task: tokio::spawn(async move {
                let _ = serving.await;
            }),
        });

        for service in devmesh::layout::SERVICES {
            let (grpc, admin) = sockets.take(service).expect("sockets");
            let public = (service == edge_rest::SERVICE)
                .then(|| sockets.public.try_clone().expect("a socket"));
            let environment = environment(&clock);
            let started = start_service(service, &layout, grpc, admin, public, environment);
            running.push(started);
        }
        wait_until_ready(&layout).await;
        let estate = estate::seed(&layout).await.expect("an estate");
        Self {
            sim: Sim::new(&layout).expect("the simulator"),
            layout,
            estate,
            folder,
            clock,
            replica: None,
            running,
        }
    }

    /// The first partner, as its own engineer would call.
    pub fn partner(&self) -> Partner {
        Partner::new(
            &self.layout,
            &self.estate.client_id,
            &self.estate.client_secret,
        )
    }

    /// The second one, of another site.
    pub fn other_partner(&self) -> Partner {
        let estate = &self.estate;
        Partner::new(
            &self.layout,
            &estate.other_client_id,
            &estate.other_client_secret,
        )
    }

    /// Ends one service; the others go on.
    pub async fn stop(&mut self, service: &str) {
        let (ended, others) = self
            .running
            .drain(..)
            .partition(|running| running.name == service);
        self.running = others;
        let ended: Vec<Running> = ended;
        for running in ended {
            running.shutdown.cancel();
            running.task.await.expect("an orderly end");
        }
    }

    /// Takes the store of a service that was stopped away: it starts on an
    /// empty one.
    pub fn empty_store(&self, service: &str) {
        let file = self.layout.config_file(service);
        let text = std::fs::read_to_string(&file).expect("a configuration");
        let section = text.split("[database]").nth(1).expect("its section");
        let url = section.split('"').nth(1).expect("a URL");
        if url.starts_with("sqlite:") {
            for end in ["", "-wal", "-shm"] {
                let name = format!("data/{service}.db{end}");
                // The log is there while it is needed.
                let _ = std::fs::remove_file(self.folder.path().join(name));
            }
            return;
        }
        let name = format!("{service}-{}", uuid::Uuid::new_v4().simple());
        let empty = postgres().create_database(&name).expect("a database");
        std::fs::write(file, text.replace(url, &empty)).expect("written");
    }

    /// Starts a service that was stopped, where it was.
    pub async fn restart(&mut self, service: &'static str) {
        let grpc = bind_again(self.layout.addresses.grpc(service)).await;
        let admin = bind_again(self.layout.addresses.admin(service)).await;
        let environment = environment(&self.clock);
        let started = start_service(service, &self.layout, grpc, admin, None, environment);
        self.running.push(started);
        wait_until_ready(&self.layout).await;
    }

    /// A second edge, auth-svc and access-svc beside the first ones, on the
    /// same databases and keys; they ask each other, and share biometric-svc.
    pub async fn replicate(&mut self) -> Partner {
        self.replicate_services(&["auth-svc", "access-svc", "edge-rest"])
            .await;
        let estate = &self.estate;
        let mut partner = Partner::new(&self.layout, &estate.client_id, &estate.client_secret);
        partner.edge = format!("https://{}", self.replica().addresses.public);
        partner
    }

    /// Seconds of these services beside the first ones; they ask each other.
    pub async fn replicate_services(&mut self, second: &[&'static str]) {
        let (mut sockets, addresses) = Sockets::bind().expect("sockets");
        let mut layout = self.layout.clone();
        layout.root = self.folder.path().join("replica");
        std::fs::create_dir_all(layout.root.join("config")).expect("a folder");
        for service in second.iter().copied() {
            let file = self.layout.config_file(service);
            let mut text = std::fs::read_to_string(file).expect("a configuration");
            for moved in second.iter().copied() {
                for of in [Addresses::grpc, Addresses::admin] {
                    let (old, new) = (of(&self.layout.addresses, moved), of(&addresses, moved));
                    text = text.replace(&old.to_string(), &new.to_string());
                }
            }
            let listen = format!("listen = \"{}\"", self.layout.addresses.public);
            text = text.replace(&listen, &format!("listen = \"{}\"", addresses.public));
            std::fs::write(layout.config_file(service), text).expect("written");
            let (grpc, admin) = sockets.take(service).expect("sockets");
            let public = (service == edge_rest::SERVICE)
                .then(|| sockets.public.try_clone().expect("a socket"));
            let environment = environment(&self.clock);
            let started = start_service(service, &layout, grpc, admin, public, environment);
            self.running.push(started);
        }
        layout.addresses = addresses;
        self.replica = Some(addresses);
        wait_until_ready_of(&layout, second).await;
    }

    /// Where the second replicas are, as the first ones' layout tells it.
    pub fn replica(&self) -> Layout {
        Layout {
            addresses: self.replica.expect("replicated"),
            ..self.layout.clone()
        }
    }

    /// Commands that the partner's gateway received for a device.
    pub async fn commands_to(&self, device: &str) -> Vec<serde_json::Value> {
        let mut commands = self.sim.commands().await.expect("the commands");
        commands.retain(|command| command["device_id"] == device);
        commands
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        for running in &self.running {
            running.shutdown.cancel();
        }
    }
}

/// A service has ended a moment before its tasks let go of their sockets.
async fn bind_again(address: SocketAddr) -> TcpListener {
    let free = async {
        loop {
            if let Ok(listener) = TcpListener::bind(address) {
                return listener;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let bound = tokio::time::timeout(Duration::from_secs(60), free).await;
    bound.expect("the same address")
}

fn environment(clock: &Arc<ShiftedClock>) -> Environment {
    Environment {
        clock: clock.clone(),
        ..Environment::new(Shutdown::new())
    }
}

fn start_service(
    service: &'static str,
    layout: &Layout,
    grpc: TcpListener,
    admin: TcpListener,
    public: Option<TcpListener>,
    environment: Environment,
) -> Running {
    let shutdown = environment.shutdown.clone();
    let file = layout.config_file(service);
    let (server, admin) = (listener(grpc), listener(admin));
    let task = tokio::spawn(async move {
        let result = match service {
            auth_svc::SERVICE => {
                let listeners = auth_svc::Listeners { server, admin };
                told(auth_svc::run(config(&file), listeners, environment).await)
            }
            access_svc::SERVICE => {
                let listeners = access_svc::Listeners { server, admin };
                told(access_svc::run(config(&file), listeners, environment).await)
            }
            biometric_svc::SERVICE => {
                let listeners = biometric_svc::Listeners { server, admin };
                told(biometric_svc::run(config(&file), listeners, environment).await)
            }
            _ => {
                let public = listener(public.expect("the edge's public socket"));
                let listeners = edge_rest::Listeners {
                    public,
                    server,
                    admin,
                };
                told(edge_rest::run(config(&file), listeners, environment).await)
            }
        };
        if let Err(error) = result {
            panic!("{service}: {error}");
        }
    });
    Running {
        name: service,
        shutdown,
        task,
    }
}

fn told<E: std::fmt::Display>(result: Result<(), E>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

fn config<C: mesh::service::ServiceConfig>(file: &Path) -> C {
    mesh::config::load(file).expect("a configuration")
}

fn listener(socket: TcpListener) -> tokio::net::TcpListener {
    socket.set_nonblocking(true).expect("a socket");
    tokio::net::TcpListener::from_std(socket).expect("a socket")
}

async fn wait_until_ready(layout: &Layout) {
    wait_until_ready_of(layout, &devmesh::layout::SERVICES).await;
}

async fn wait_until_ready_of(layout: &Layout, services: &[&str]) {
    let http = Arc::new(
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client"),
    );
    for service in services {
        let url = format!("http://{}/readyz", layout.addresses.admin(service));
        let ready = async {
            loop {
                let answer = http.get(&url).send().await;
                if answer.is_ok_and(|response| response.status().is_success()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), ready).await;
        assert!(waited.is_ok(), "{service} is not ready after a minute");
    }
}

/// The same test on both databases.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::Mesh::start($crate::Database::Sqlite).await).await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::Mesh::start($crate::Database::Postgres).await).await;
                }
            )+
        }
    };
}
