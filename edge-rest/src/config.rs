//! The edge's configuration. Unknown keys are errors.

use std::{
    fmt,
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
    time::Duration,
};

use mesh::{
    config::{AdminConfig, PeerConfig, ServerConfig, TelemetryConfig, TlsConfig},
    service::ServiceConfig,
};
use serde::Deserialize;
use url::Url;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub public: PublicConfig,
    pub server: ServerConfig,
    pub admin: AdminConfig,
    pub tls: TlsConfig,
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    pub peers: Peers,
    #[serde(default)]
    pub egress: EgressConfig,
}

impl ServiceConfig for Config {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

/// `[public]`: the HTTPS listener for partners. PEM files, read again when
/// they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicConfig {
    pub listen: SocketAddr,
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// Where partners see the edge, and the issuer of tokens.
    pub base_url: BaseUrl,
    /// Connections held at once; more are closed after the handshake.
    #[serde(default = "default_connections")]
    pub max_connections: NonZeroU32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    #[serde(rename = "auth-svc")]
    pub auth: PeerConfig,
    #[serde(rename = "access-svc")]
    pub access: PeerConfig,
}

/// `[egress]`: calls to partners.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Lets a partner's URL lead to loopback, private and metadata addresses.
    pub allow_private_addresses_for_development: bool,
    pub connect_timeout_ms: u64,
    /// Requests to one partner under way at once.
    pub concurrency_per_partner: NonZeroU16,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            allow_private_addresses_for_development: false,
            connect_timeout_ms: 1_000,
            concurrency_per_partner: CONCURRENCY,
        }
    }
}

impl EgressConfig {
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

/// `https://host` or `https://host:port`, as RFC 8414 compares issuers: to
/// the byte, so nothing is normalised away.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl(String);

impl BaseUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("base_url must be https://host or https://host:port, in lower case, and nothing after it")]
pub struct BaseUrlError;

impl TryFrom<String> for BaseUrl {
    type Error = BaseUrlError;

    fn try_from(text: String) -> Result<Self, BaseUrlError> {
        let url = Url::parse(&text).map_err(|_| BaseUrlError)?;
        if url.scheme() != "https" || url.origin().ascii_serialization() != text {
            return Err(BaseUrlError);
        }
        Ok(Self(text))
    }
}

const CONCURRENCY: NonZeroU16 = NonZeroU16::new(64).expect("not zero");
const CONNECTIONS: NonZeroU32 = NonZeroU32::new(20_000).expect("not zero");

fn default_connections() -> NonZeroU32 {
    CONNECTIONS
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const WHOLE: &str = r#"
        [public]
        listen = "127.0.0.1:8443"
        certificate = "edge.pem"
        private_key = "edge.key"
        base_url = "https://edge.example"
        [server]
        listen = "127.0.0.1:7004"
        [admin]
        listen = "127.0.0.1:9004"
        [tls]
        certificate = "a"
        private_key = "b"
        trust_bundle = "c"
        trust_domain = "d"
        [peers.auth-svc]
        endpoint = "https://127.0.0.1:7001"
        [peers.access-svc]
        endpoint = "https://127.0.0.1:7002"
    "#;

    fn load(text: &str) -> Result<Config, mesh::config::ConfigError> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        mesh::config::load(file.path())
    }

    #[test]
    fn a_whole_configuration_is_read() {
        let config = load(WHOLE).expect("a configuration");
        assert_eq!(config.public.base_url.as_str(), "https://edge.example");
        assert!(!config.egress.allow_private_addresses_for_development);
    }

    #[test]
    fn unknown_keys_are_named() {
        let error =
            load(&format!("{WHOLE}\n[egress]\nallow_privat = true\n")).expect_err("a fault");
        assert!(error.to_string().contains("allow_privat"), "{error}");
    }

    #[test]
    fn an_issuer_is_an_https_origin_and_nothing_more() {
        for good in ["https://edge.example", "https://localhost:8443"] {
            assert!(BaseUrl::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "http://edge.example",
            "https://edge.example/",
            "https://edge.example/x",
            "https://Edge.example",
            "https://edge.example:443",
            "https://u@edge.example",
            "edge.example",
            "",
        ] {
            assert!(BaseUrl::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
