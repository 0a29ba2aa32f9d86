//! The HTTP client of one partner or witness: https alone, no redirects, no proxy, its
//! own CA where it has one, addresses guarded after resolution.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    version::{TLS12, TLS13},
};

use super::{address::Addresses, settings::SettingsFault};
use crate::config::EgressConfig;

/// Shorter than what servers keep a silent connection for: a command written
/// into one that is just being closed would have an unknown outcome.
const IDLE: Duration = Duration::from_secs(4);

pub(crate) struct Clients {
    config: EgressConfig,
    /// The system's, read once at start.
    roots: Arc<RootCertStore>,
}

impl Clients {
    pub(crate) fn new(config: EgressConfig) -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!("no system CA found: partners need a CA of their own");
        }
        Self {
            config,
            roots: Arc::new(roots),
        }
    }

    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            allow_private: self.config.allow_private_addresses_for_development,
        }
    }

    /// With a CA of its own, or the system's.
    pub(crate) fn of(
        &self,
        roots: Option<Arc<RootCertStore>>,
    ) -> Result<reqwest::Client, SettingsFault> {
        let roots = roots.unwrap_or_else(|| self.roots.clone());
        let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| SettingsFault::Client)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            // What may be tried again is decided by the command, not here.
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .dns_resolver(self.addresses())
            .connect_timeout(self.config.connect_timeout())
            .pool_idle_timeout(IDLE)
            .http2_max_header_list_size(16 * 1024)
            .user_agent(concat!("propdev-edge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| SettingsFault::Client)
    }
}
