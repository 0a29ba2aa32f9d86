//! The edge's configuration. Unknown keys are errors.

use std::{
    fmt,
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
    time::Duration,
};

use http::HeaderName;
use ipnet::IpNet;
use mesh::{
    config::{AdminConfig, PeerConfig, ServerConfig, TelemetryConfig, TlsConfig},
    service::ServiceConfig,
};
use serde::{Deserialize, Deserializer, de::Error};
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
    #[serde(default)]
    pub limits: LimitsConfig,
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
    /// The same of one address that is no trusted proxy's.
    #[serde(default = "default_connections_of_one")]
    pub max_connections_of_one_address: NonZeroU32,
    /// Asks clients for a certificate, which none needs to have: tokens can
    /// then be bound to it (RFC 8705).
    #[serde(default = "default_true")]
    pub request_client_certificates: bool,
    /// Networks of proxies before the edge, whose `X-Forwarded-For` is believed.
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which those proxies tell the client's certificate as
    /// RFC 9440 writes it, e.g. `client-cert`. Without one no token can be
    /// bound, or used bound, through them.
    #[serde(default)]
    #[serde(deserialize_with = "header_name")]
    pub client_certificate_header: Option<HeaderName>,
}

/// `[limits]`: what one address may ask for, before anything is looked at.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    pub address_requests_per_second: NonZeroU32,
    pub address_burst: NonZeroU32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            address_requests_per_second: ADDRESS_RATE,
            address_burst: ADDRESS_BURST,
        }
    }
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
const CONNECTIONS_OF_ONE: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");

const ADDRESS_RATE: NonZeroU32 = NonZeroU32::new(200).expect("not zero");
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(500).expect("not zero");

fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderName>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    name.map(|name| {
        HeaderName::try_from(name).map_err(|_| D::Error::custom("is no name of a header"))
    })
    .transpose()
}

fn default_true() -> bool {
    true
}

fn default_connections() -> NonZeroU32 {
    CONNECTIONS
}

fn default_connections_of_one() -> NonZeroU32 {
    CONNECTIONS_OF_ONE
}

/// A whole configuration.
#[cfg(test)]
pub(crate) fn sample() -> Config {
    tests::load(tests::WHOLE).expect("a configuration")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    pub(super) const WHOLE: &str = r#"
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

    pub(super) fn load(text: &str) -> Result<Config, mesh::config::ConfigError> {
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
