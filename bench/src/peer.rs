//! Servers that users would pick instead, from their own packages.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use propctl::dev::{self, Names, Validity};
use tokio::process::{Child, Command};

use crate::{
    error::{Error, other},
    load::{self, Target},
};

const READY_WITHIN: Duration = Duration::from_secs(180);

/// A peer that runs.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    token_path: &'static str,
    child: Child,
    folder: PathBuf,
}

/// Name, folder under `bench/peers`, path of the token endpoint.
pub(crate) const PEERS: [(&str, &str, &str); 3] = [
    ("oidc_provider", "oidc-provider", "/token"),
    (
        "keycloak",
        "keycloak",
        "/realms/bench/protocol/openid-connect/token",
    ),
    ("hydra", "hydra", "/oauth2/token"),
];

pub(crate) const CLIENT: &str = "bench-client";
pub(crate) const SECRET: &str = "for-benchmark-only-0123456789abcdef";

impl Peer {
    /// None where its start script is not there.
    pub(crate) async fn start(
        (name, folder, token_path): (&'static str, &str, &'static str),
        root: &Path,
    ) -> Result<Option<Self>, Error> {
        let script = Path::new("bench/peers").join(folder).join("start.sh");
        if !script.is_file() {
            return Ok(None);
        }
        let own = root.join(name);
        fs::create_dir_all(own.join("data"))?;
        let pki = own.join("pki");
        dev::create_ca(&pki, "peer.example").map_err(other)?;
        let server = own.join("server");
        dev::issue_server(
            &pki,
            &Names::localhost(),
            Validity::days_from_now(1),
            &server,
        )
        .map_err(other)?;
        let address: SocketAddr = loopback_port::bind()?.local_addr()?;
        let log = fs::File::create(own.join("log"))?;
        let child = Command::new(script)
            .env("PORT", address.port().to_string())
            .env("TLS_CERT", server.join(dev::CERTIFICATE))
            .env("TLS_KEY", server.join(dev::PRIVATE_KEY))
            .env("CLIENT_ID", CLIENT)
            .env("CLIENT_SECRET", SECRET)
            .env("DATA", own.join("data"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let peer = Self {
            name,
            target: Target::new(address, &pki.join(dev::CA_CERTIFICATE))?,
            token_path,
            child,
            folder: own,
        };
        peer.wait_until_ready().await?;
        Ok(Some(peer))
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let ready = async {
            loop {
                let answer = load::once(&self.target, self.request()).await;
                if answer.is_ok_and(|(status, _)| status == StatusCode::OK) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, ready)
            .await
            .map_err(|_| {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                other(format!("{} gives no token: {log}", self.name))
            })
    }

    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        load::token_request(self.token_path, CLIENT, SECRET, "scope=door%3Aopen")
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        self.child.id().into_iter().collect()
    }

    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(id),
                nix::sys::signal::Signal::SIGTERM,
            );
        }
        if tokio::time::timeout(Duration::from_secs(20), self.child.wait())
            .await
            .is_err()
        {
            self.child.kill().await?;
        }
        Ok(())
    }
}
