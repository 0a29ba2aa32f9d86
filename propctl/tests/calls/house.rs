//! A CA, mesh servers under its certificates, and the program run as an
//! operator.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use mesh::{
    admin::Readiness,
    config::{ServerConfig, TlsConfig},
    policy::Policy,
    server::Server,
    shutdown::Shutdown,
    tls::Credentials,
};
use propctl::dev::{self, Names, Validity};
use tempfile::TempDir;
use tonic::service::Routes;

pub(crate) struct House {
    dir: TempDir,
    endpoints: BTreeMap<&'static str, String>,
    shutdown: Shutdown,
}

impl House {
    pub(crate) fn new() -> Self {
        mesh::jose::install_crypto();
        let dir = tempfile::tempdir().expect("a folder");
        dev::create_ca(&dir.path().join("ca"), "propdev.test").expect("a CA");
        Self {
            dir,
            endpoints: BTreeMap::new(),
            shutdown: Shutdown::new(),
        }
    }

    /// Until the house is gone.
    pub(crate) async fn serve(&mut self, service: &'static str, routes: Routes) {
        let credentials = Credentials::load(self.tls(&format!("svc/{service}")))
            .map_err(|error| error.to_string())
            .expect("credentials");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let readiness = Readiness::default();
        readiness.set(true);
        let server = Server {
            service,
            config: ServerConfig {
                listen: address,
                max_connection_age_s: 60,
                drain_ms: 100,
                max_concurrent_calls: 8,
            },
            credentials,
            policy: Policy::built_in().expect("the contracts"),
            readiness,
            components: vec![],
        };
        tokio::spawn(server.serve(listener, routes, self.shutdown.clone()));
        self.at(service, &format!("https://{address}"));
    }

    /// Where operators look for a service.
    pub(crate) fn at(&mut self, service: &'static str, endpoint: &str) {
        self.endpoints.insert(service, endpoint.into());
    }

    fn tls(&self, identity: &str) -> TlsConfig {
        let ca = self.dir.path().join("ca");
        let out = self.dir.path().join(identity);
        let day = Validity::days_from_now(1);
        let issued =
            dev::issue_mesh(&ca, identity, &Names::default(), day, &out).expect("a certificate");
        TlsConfig {
            certificate: issued.certificate,
            private_key: issued.private_key,
            trust_bundle: ca.join(dev::CA_CERTIFICATE),
            trust_domain: "propdev.test".into(),
            deny_list: None,
        }
    }

    /// Settings of an operator.
    pub(crate) fn settings(&self, identity: &str) -> PathBuf {
        let tls = self.tls(identity);
        let path = self.dir.path().join("propctl.toml");
        let mut text = format!(
            "[tls]\ncertificate = {:?}\nprivate_key = {:?}\ntrust_bundle = \"ca/ca.crt\"\n\
             trust_domain = \"propdev.test\"\n[endpoints]\n",
            tls.certificate, tls.private_key
        );
        for (service, endpoint) in &self.endpoints {
            text.push_str(&format!("{service} = \"{endpoint}\"\n"));
        }
        std::fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) async fn propctl(settings: &Path, arguments: &[&str]) -> Output {
    propctl_told(settings, arguments, "").await
}

/// With what is typed, or piped in. Off the runtime's threads: the servers must
/// go on while the program runs.
pub(crate) async fn propctl_told(
    settings: &Path,
    arguments: &[&str],
    typed: &'static str,
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propctl"));
    command
        .env_clear()
        .env("TZ", "UTC")
        .arg("--config")
        .arg(settings)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("its stdin");
        // It may have ended without reading.
        let _ = stdin.write_all(typed.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    })
    .await
    .expect("it ends")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}
