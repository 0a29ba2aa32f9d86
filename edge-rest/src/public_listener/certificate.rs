//! The public certificate, read again when its files change. A broken new
//! file keeps the old one in force.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use mesh::{
    shutdown::Shutdown,
    tls::{CredentialError, read_certificates, read_private_key},
};
use opentelemetry::{KeyValue, global};
use rustls::{
    ServerConfig,
    crypto::ring,
    version::{TLS12, TLS13},
};

use super::client_certificate::AnyCertificate;
use crate::config::PublicConfig;

struct Loaded {
    server: Arc<ServerConfig>,
    /// Digest of the contents: mounted Secrets change by symlink, so that
    /// times and inodes tell nothing.
    seen: [u8; 32],
}

pub(crate) struct Certificate {
    certificate: PathBuf,
    private_key: PathBuf,
    ask_clients: bool,
    loaded: ArcSwap<Loaded>,
}

impl Certificate {
    pub(crate) fn load(config: &PublicConfig) -> Result<Arc<Self>, CredentialError> {
        let (certificate, private_key) = (config.certificate.clone(), config.private_key.clone());
        let ask_clients = config.request_client_certificates;
        let loaded = ArcSwap::from_pointee(read(&certificate, &private_key, ask_clients)?);
        Ok(Arc::new(Self {
            certificate,
            private_key,
            ask_clients,
            loaded,
        }))
    }

    /// For connections accepted from now on.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.loaded.load().server.clone()
    }

    /// Reads the files again; true when something new is in force.
    pub(crate) fn reload(&self) -> Result<bool, CredentialError> {
        let loaded = read(&self.certificate, &self.private_key, self.ask_clients)?;
        if loaded.seen == self.loaded.load().seen {
            return Ok(false);
        }
        self.loaded.store(Arc::new(loaded));
        Ok(true)
    }

    /// Reloads every second until shutdown.
    pub(crate) async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        let failures = global::meter("edge")
            .u64_counter("mesh.tls.reload.failures")
            .build();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut told = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            let this = self.clone();
            match tokio::task::spawn_blocking(move || this.reload()).await {
                Ok(Ok(new)) => {
                    told = false;
                    if new {
                        tracing::info!("public certificate reloaded");
                    }
                }
                Ok(Err(error)) => {
                    failures.add(1, &[KeyValue::new("error.type", "public_certificate")]);
                    if !told {
                        tracing::error!(%error, "public certificate not reloaded; the old one stays");
                        told = true;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

fn read(certificate: &Path, key: &Path, ask_clients: bool) -> Result<Loaded, CredentialError> {
    let chain = read_certificates(certificate)?;
    let key = read_private_key(key)?;
    let mut digest = ::ring::digest::Context::new(&::ring::digest::SHA256);
    for part in chain.iter().map(|c| c.as_ref()).chain([key.secret_der()]) {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut seen = [0; 32];
    seen.copy_from_slice(digest.finish().as_ref());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = if ask_clients {
        builder.with_client_cert_verifier(Arc::new(AnyCertificate::new()))
    } else {
        builder.with_no_client_auth()
    };
    let mut server = builder.with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded {
        server: Arc::new(server),
        seen,
    })
}
