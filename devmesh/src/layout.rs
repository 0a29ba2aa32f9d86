//! Where everything of a development mesh lies: one folder with certificates,
//! keys, databases, configuration and logs; and which port serves what.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use mesh::config::TlsConfig;
use propctl::dev::{self, Names, Validity};

use crate::Error;

pub const TRUST_DOMAIN: &str = "propdev.example";
/// What stores, backups and erasure ledgers are labelled with.
pub const REGION: &str = "ru-msk";
pub const DEPLOYMENT: &str = "devmesh";
/// Name and address, or post, as receipts and acts of destruction say them.
pub const OPERATOR: [&str; 2] = ["Propdev Residential", "1 Example Street, Moscow"];
pub const PROCESSOR: [&str; 2] = ["Propdev Hosting", "2 Example Street, Moscow"];
pub const DESTROYED_BY: [&str; 2] = ["Nina Sokolova", "data protection officer"];
pub const INFORMATION_SYSTEM: &str = "access system of the residential complex";
pub const STORING: [&str; 3] = ["auth-svc", "access-svc", "biometric-svc"];
/// Those that know people, and erase them.
pub const ERASING: [&str; 2] = ["access-svc", "biometric-svc"];
pub const SERVICES: [&str; 4] = ["auth-svc", "access-svc", "biometric-svc", "edge-rest"];
pub const ROLES: [&str; 3] = ["viewer", "operator", "privacy"];

/// Where the audit log's checkpoints go.
const CHECKPOINTS: &str = "checkpoints";

/// The addresses of a mesh, all on the loopback.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub public: SocketAddr,
    pub simulator: SocketAddr,
    grpc: [SocketAddr; 4],
    admin: [SocketAddr; 4],
}

/// The sockets of a mesh inside one process, bound before anybody dials them.
pub struct Sockets {
    pub public: TcpListener,
    pub simulator: TcpListener,
    grpc: [Option<TcpListener>; 4],
    admin: [Option<TcpListener>; 4],
}

impl Sockets {
    /// All of them at once, so that no port comes twice.
    pub fn bind() -> Result<(Self, Addresses), Error> {
        let four = || -> std::io::Result<Vec<TcpListener>> {
            (0..4).map(|_| loopback_port::bind()).collect()
        };
        let (public, simulator, grpc, admin) = (
            loopback_port::bind()?,
            loopback_port::bind()?,
            four()?,
            four()?,
        );
        let addresses = Addresses {
            public: public.local_addr()?,
            simulator: simulator.local_addr()?,
            grpc: addresses(&grpc)?,
            admin: addresses(&admin)?,
        };
        let mut grpc = grpc.into_iter();
        let mut admin = admin.into_iter();
        let sockets = Self {
            public,
            simulator,
            grpc: std::array::from_fn(|_| grpc.next()),
            admin: std::array::from_fn(|_| admin.next()),
        };
        Ok((sockets, addresses))
    }

    /// A service's gRPC and admin sockets, to be taken once.
    pub fn take(&mut self, service: &str) -> Option<(TcpListener, TcpListener)> {
        let at = index(service);
        Some((self.grpc[at].take()?, self.admin[at].take()?))
    }
}

fn addresses(listeners: &[TcpListener]) -> Result<[SocketAddr; 4], Error> {
    let all: Vec<SocketAddr> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    Ok(std::array::from_fn(|i| all[i]))
}

impl Addresses {
    /// Free ports for processes, which bind them themselves a moment later;
    /// the public one may be given.
    pub fn free(public: Option<u16>) -> Result<Self, Error> {
        let (_, mut addresses) = Sockets::bind()?;
        if let Some(port) = public {
            addresses.public = (Ipv4Addr::LOCALHOST, port).into();
        }
        Ok(addresses)
    }

    pub fn grpc(&self, service: &str) -> SocketAddr {
        self.grpc[index(service)]
    }

    pub fn admin(&self, service: &str) -> SocketAddr {
        self.admin[index(service)]
    }
}

fn index(service: &str) -> usize {
    SERVICES.iter().position(|s| *s == service).unwrap_or(0)
}

/// A development mesh on disk.
#[derive(Clone, Debug)]
pub struct Layout {
    pub root: PathBuf,
    pub addresses: Addresses,
}

impl Layout {
    /// Writes certificates and configuration into an empty folder. `database`
    /// gives a service's URL; none is SQLite in the data folder.
    pub fn write(
        root: &Path,
        addresses: Addresses,
        database: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let layout = Self {
            root: root.to_owned(),
            addresses,
        };
        for folder in [
            "data",
            "keys",
            "config",
            "logs",
            "backups",
            "ledgers",
            CHECKPOINTS,
        ] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(Error::file(path))?;
        }
        layout.write_certificates()?;
        for service in STORING {
            let url = database(service).unwrap_or_else(|| layout.sqlite_url(service));
            layout.write_config(service, &layout.storing_config(service, &url))?;
        }
        layout.write_config("edge-rest", &layout.edge_config())?;
        layout.write_config("partner-sim", &layout.simulator_config())?;
        for role in ROLES {
            let text = layout.propctl_config(&layout.operator_folder(role));
            layout.write_config(&format!("propctl-{role}"), &text)?;
        }
        Ok(layout)
    }

    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    pub fn ca(&self) -> PathBuf {
        self.pki().join(dev::CA_CERTIFICATE)
    }

    pub fn config_file(&self, name: &str) -> PathBuf {
        self.root.join("config").join(format!("{name}.toml"))
    }

    pub fn log_file(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    pub fn backup_folder(&self, service: &str) -> PathBuf {
        self.root.join("backups").join(service)
    }

    /// Of a service that erases.
    pub fn ledger_file(&self, service: &str) -> PathBuf {
        let name = format!("{service}.erasures.jsonl");
        self.root.join("ledgers").join(name)
    }

    /// The audit log's checkpoints, as outsiders find them.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join(CHECKPOINTS)
    }

    pub fn operator_folder(&self, role: &str) -> PathBuf {
        self.root
            .join("certificates")
            .join(format!("operator-{role}"))
    }

    pub fn edge_url(&self) -> String {
        format!("https://{}", self.addresses.public)
    }

    pub fn simulator_url(&self) -> String {
        format!("https://{}", self.addresses.simulator)
    }

    /// A mesh identity as a client needs it.
    pub fn tls(&self, folder: &Path) -> TlsConfig {
        TlsConfig {
            certificate: folder.join(dev::CERTIFICATE),
            private_key: folder.join(dev::PRIVATE_KEY),
            trust_bundle: self.ca(),
            trust_domain: TRUST_DOMAIN.into(),
            deny_list: None,
        }
    }

    fn certificate_folder(&self, name: &str) -> PathBuf {
        self.root.join("certificates").join(name)
    }

    fn write_certificates(&self) -> Result<(), Error> {
        let fault = |error: dev::DevError| Error::Certificates(error.to_string());
        let (pki, names) = (self.pki(), Names::localhost());
        dev::create_ca(&pki, TRUST_DOMAIN).map_err(fault)?;
        for service in SERVICES {
            let out = self.certificate_folder(service);
            let identity = format!("svc/{service}");
            dev::issue_mesh(&pki, &identity, &names, validity(), &out).map_err(fault)?;
        }
        for server in ["edge-public", "partner-sim"] {
            let out = self.certificate_folder(server);
            dev::issue_server(&pki, &names, validity(), &out).map_err(fault)?;
        }
        for role in ROLES {
            self.issue_operator(role, "dev", &self.operator_folder(role))?;
        }
        Ok(())
    }

    /// An operator's certificate and key into a folder.
    pub fn issue_operator(&self, role: &str, name: &str, out: &Path) -> Result<(), Error> {
        let identity = format!("operator/{role}/{name}");
        dev::issue_mesh(&self.pki(), &identity, &Names::default(), validity(), out)
            .map(drop)
            .map_err(|error| Error::Certificates(error.to_string()))
    }

    pub fn sqlite_url(&self, service: &str) -> String {
        let file = self.root.join("data").join(format!("{service}.db"));
        format!("sqlite://{}", file.display())
    }

    fn write_config(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.config_file(name);
        fs::write(&path, text).map_err(Error::file(path))
    }

    /// What every service's configuration begins with.
    fn common_config(&self, service: &str) -> String {
        let folder = self.certificate_folder(service);
        format!(
            "[server]\nlisten = \"{grpc}\"\n\
             [admin]\nlisten = \"{admin}\"\n\
             [tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n\
             trust_bundle = {ca:?}\ntrust_domain = \"{TRUST_DOMAIN}\"\n\
             [telemetry]\nlog_format = \"json\"\nlog_filter = \"info\"\n",
            grpc = self.addresses.grpc(service),
            admin = self.addresses.admin(service),
            certificate = folder.join(dev::CERTIFICATE),
            key = folder.join(dev::PRIVATE_KEY),
            ca = self.ca(),
        )
    }

    pub fn keyring(&self, service: &str) -> PathBuf {
        self.root.join("keys").join(format!("{service}.json"))
    }

    fn storing_config(&self, service: &str, database: &str) -> String {
        let keyring = self.keyring(service);
        let mut text = self.common_config(service);
        text.push_str(&format!(
            "[database]\nurl = {database:?}\n[keyring]\npath = {keyring:?}\n\
             [residency]\nregion = \"{REGION}\"\ndeployment = \"{DEPLOYMENT}\"\n\
             [backup]\nfolder = {:?}\n",
            self.backup_folder(service),
        ));
        if ERASING.contains(&service) {
            text.push_str(&format!(
                "[erasure]\nledger = {:?}\ncopies = [{:?}]\n",
                self.ledger_file(service),
                self.root.join("ledgers").join("copies"),
            ));
            let pair = |[name, other]: [&str; 2], key: &str| {
                format!("{{ name = {name:?}, {key} = {other:?} }}")
            };
            text.push_str(&format!(
                "[erasure.act]\noperator = {}\nprocessor = {}\ndestroyed_by = {}\n\
                 information_system = {INFORMATION_SYSTEM:?}\n",
                pair(OPERATOR, "address"),
                pair(PROCESSOR, "address"),
                pair(DESTROYED_BY, "post"),
            ));
        }
        let peers: &[&str] = match service {
            "auth-svc" => &["biometric-svc", "access-svc"],
            "access-svc" => &["auth-svc", "biometric-svc", "edge-rest"],
            _ => &[],
        };
        text.push_str(&self.peers(peers));
        if !peers.is_empty() {
            let url = self.edge_url();
            text.push_str(&format!(
                "[tokens]\nissuer = \"{url}\"\naudience = \"{url}\"\n"
            ));
        }
        if service == "access-svc" {
            let folder = self.checkpoints();
            text.push_str(&format!(
                "[audit]\nfolders = [{folder:?}]\npublish_every_s = 0\n"
            ));
        }
        text
    }

    fn edge_config(&self) -> String {
        let folder = self.certificate_folder("edge-public");
        format!(
            "{}{}[public]\nlisten = \"{}\"\ncertificate = {:?}\nprivate_key = {:?}\nbase_url = \"{}\"\n\
             max_connections_of_one_address = 20000\n\
             [egress]\nallow_private_addresses_for_development = true\n\
             [limits]\naddress_requests_per_second = 1000\naddress_burst = 2000\n",
            self.common_config("edge-rest"),
            self.peers(&["auth-svc", "access-svc"]),
            self.addresses.public,
            folder.join(dev::CERTIFICATE),
            folder.join(dev::PRIVATE_KEY),
            self.edge_url(),
        )
    }

    fn simulator_config(&self) -> String {
        let folder = self.certificate_folder("partner-sim");
        format!(
            "listen = \"{}\"\n[tls]\ncertificate = {:?}\nprivate_key = {:?}\n[edge]\nurl = \"{}\"\nca = {:?}\n",
            self.addresses.simulator,
            folder.join(dev::CERTIFICATE),
            folder.join(dev::PRIVATE_KEY),
            self.edge_url(),
            self.ca(),
        )
    }

    /// An operator's `propctl.toml`.
    pub fn propctl_config(&self, folder: &Path) -> String {
        let mut text = format!(
            "[tls]\ncertificate = {:?}\nprivate_key = {:?}\ntrust_bundle = {:?}\ntrust_domain = \"{TRUST_DOMAIN}\"\n[endpoints]\n",
            folder.join(dev::CERTIFICATE),
            folder.join(dev::PRIVATE_KEY),
            self.ca(),
        );
        for service in STORING {
            let address = self.addresses.grpc(service);
            text.push_str(&format!("{service} = \"https://{address}\"\n"));
        }
        text
    }

    fn peers(&self, peers: &[&str]) -> String {
        peers
            .iter()
            .map(|peer| {
                let address = self.addresses.grpc(peer);
                format!("[peers.{peer}]\nendpoint = \"https://{address}\"\n")
            })
            .collect()
    }
}

fn validity() -> Validity {
    Validity::days_from_now(30)
}
