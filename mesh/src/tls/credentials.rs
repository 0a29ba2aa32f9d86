//! A process's certificate, key and trust bundle, read again when the files
//! change. A broken new file keeps the old ones in force.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use opentelemetry::{KeyValue, global};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{
    deny_list::DenyList,
    verifier::{DenyingClientVerifier, SpiffeServerVerifier},
};
use crate::{config::TlsConfig, identity::SpiffeId, shutdown::Shutdown};

#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("{path}: {detail}")]
    File { path: PathBuf, detail: String },
    #[error("the certificate and key do not work together: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{path}: {source}")]
    Identity {
        path: PathBuf,
        source: crate::identity::IdentityError,
    },
    #[error("{path} is of trust domain {found}, not {wanted}")]
    TrustDomain {
        path: PathBuf,
        found: String,
        wanted: String,
    },
    #[error("the trust bundle {0} holds no usable certificate")]
    NoRoots(PathBuf),
}

/// What was read from the files at one time.
struct Loaded {
    id: SpiffeId,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    denied: Arc<DenyList>,
    clients: Arc<dyn ClientCertVerifier>,
    server: Arc<ServerConfig>,
    /// Contents of the files, to notice a change; mounted Secrets change by
    /// symlink, so that times and inodes tell nothing.
    seen: [u8; 32],
}

/// A process's identity in the mesh.
pub struct Credentials {
    config: TlsConfig,
    loaded: ArcSwap<Loaded>,
    generation: AtomicU64,
}

impl Credentials {
    pub fn load(config: TlsConfig) -> Result<Arc<Self>, CredentialError> {
        let loaded = Loaded::read(&config)?;
        Ok(Arc::new(Self {
            config,
            loaded: ArcSwap::from_pointee(loaded),
            generation: AtomicU64::new(0),
        }))
    }

    /// Grows with each reload: connections made under an earlier one are made
    /// anew, and their peers looked at again.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn id(&self) -> SpiffeId {
        self.loaded.load().id.clone()
    }

    pub fn trust_domain(&self) -> &str {
        &self.config.trust_domain
    }

    /// For connections accepted from now on.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.loaded.load().server.clone()
    }

    /// For connections to the service named, from now on.
    pub fn client_config(&self, service: &str) -> Result<Arc<ClientConfig>, rustls::Error> {
        let loaded = self.loaded.load();
        let expected = SpiffeId {
            trust_domain: self.config.trust_domain.clone(),
            caller: crate::Caller::Service(service.into()),
        };
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(SpiffeServerVerifier::new(
                loaded.roots.clone(),
                loaded.denied.clone(),
                expected,
            )))
            .with_client_auth_cert(loaded.chain.clone(), loaded.key.clone_key())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// Whether a client's certificates would still be let in.
    pub fn trusts(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return false;
        };
        let clients = self.loaded.load().clients.clone();
        clients
            .verify_client_cert(leaf, intermediates, UnixTime::now())
            .is_ok()
    }

    /// Reads the files again; true when something new is in force.
    pub fn reload(&self) -> Result<bool, CredentialError> {
        let loaded = Loaded::read(&self.config)?;
        if loaded.seen == self.loaded.load().seen {
            return Ok(false);
        }
        self.loaded.store(Arc::new(loaded));
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    /// Reloads every second until shutdown.
    pub async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        let meter = global::meter("mesh");
        let failures = meter.u64_counter("mesh.tls.reload.failures").build();
        let reloads = meter.u64_counter("mesh.tls.reloads").build();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut told = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            let this = self.clone();
            match tokio::task::spawn_blocking(move || this.reload()).await {
                Ok(Ok(true)) => {
                    told = false;
                    reloads.add(1, &[]);
                    tracing::info!("certificates reloaded");
                }
                Ok(Ok(false)) => told = false,
                Ok(Err(error)) => {
                    failures.add(1, &[KeyValue::new("error.type", "reload")]);
                    if !told {
                        tracing::error!(%error, "certificates not reloaded; the old ones stay");
                        told = true;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

impl Loaded {
    fn read(config: &TlsConfig) -> Result<Self, CredentialError> {
        let chain = read_certificates(&config.certificate)?;
        let key = read_private_key(&config.private_key)?;
        let bundle = read_certificates(&config.trust_bundle)?;
        let (denied, denied_text) = read_deny_list(config.deny_list.as_deref())?;

        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for part in chain.iter().chain(&bundle) {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.update(denied_text.as_bytes());
        digest.update(key.secret_der());
        let mut seen = [0; 32];
        seen.copy_from_slice(digest.finish().as_ref());

        let id =
            SpiffeId::of_certificate(&chain[0]).map_err(|source| CredentialError::Identity {
                path: config.certificate.clone(),
                source,
            })?;
        if id.trust_domain != config.trust_domain {
            return Err(CredentialError::TrustDomain {
                path: config.certificate.clone(),
                found: id.trust_domain,
                wanted: config.trust_domain.clone(),
            });
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(bundle);
        if roots.is_empty() {
            return Err(CredentialError::NoRoots(config.trust_bundle.clone()));
        }
        let roots = Arc::new(roots);
        let chain_verifier = WebPkiClientVerifier::builder(roots.clone())
            .build()
            .map_err(|error| CredentialError::File {
                path: config.trust_bundle.clone(),
                detail: error.to_string(),
            })?;
        let clients: Arc<dyn ClientCertVerifier> = Arc::new(DenyingClientVerifier {
            chain: chain_verifier,
            denied: denied.clone(),
        });
        let mut server = ServerConfig::builder()
            .with_client_cert_verifier(clients.clone())
            .with_single_cert(chain.clone(), key.clone_key())?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            id,
            chain,
            key,
            roots,
            denied,
            clients,
            server: Arc::new(server),
            seen,
        })
    }
}

/// The list and its text; none denies nobody.
fn read_deny_list(path: Option<&Path>) -> Result<(Arc<DenyList>, String), CredentialError> {
    let Some(path) = path else {
        return Ok(Default::default());
    };
    let fault = |detail: String| CredentialError::File {
        path: path.to_owned(),
        detail,
    };
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let list = DenyList::from_str(&text).map_err(|malformed| fault(malformed.to_string()))?;
    Ok((Arc::new(list), text))
}

/// Every certificate of a PEM file; at least one.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let fault = |detail: String| CredentialError::File {
        path: path.to_owned(),
        detail,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| fault(error.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fault("no certificate in it".into()));
    }
    Ok(certificates)
}

pub fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| CredentialError::File {
        path: path.to_owned(),
        detail: error.to_string(),
    })
}
