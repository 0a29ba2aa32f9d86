//! Configuration from a TOML file and `PROPDEV_` environment variables
//! (`PROPDEV_DATABASE__URL` is `[database] url`). Unknown keys are errors.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::fault;

/// What is wrong, and with which key; holds no values of secrets, since
/// secrets are configured by file name.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("configuration file {0} does not exist")]
    Missing(PathBuf),
    #[error("configuration is wrong: {0}")]
    Invalid(String),
}

/// Reads the file, then the environment over it.
pub fn load<C: DeserializeOwned>(file: &Path) -> Result<C, ConfigError> {
    if !file.is_file() {
        return Err(ConfigError::Missing(file.to_owned()));
    }
    Figment::new()
        .merge(Toml::file(file))
        .merge(
            Env::prefixed("PROPDEV_")
                .ignore(&[fault::VARIABLE_SUFFIX])
                .map(|key| with_hyphens(key.as_str()).into())
                .split("__"),
        )
        .extract()
        .map_err(|error| {
            let faults: Vec<String> = error.into_iter().map(|e| e.to_string()).collect();
            ConfigError::Invalid(faults.join("; "))
        })
}

/// Shells export no name with a hyphen: `PEERS__AUTH_SVC__…` is the service too.
fn with_hyphens(key: &str) -> String {
    let parts: Vec<&str> = key.split("__").collect();
    match parts[..] {
        [section, service, key] if section.eq_ignore_ascii_case("peers") => {
            format!("{section}__{}__{key}", service.replace('_', "-"))
        }
        _ => key.to_owned(),
    }
}

/// `[server]`: the mTLS gRPC listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Milliseconds that calls under way are given to end at shutdown.
    #[serde(default = "default_drain_ms")]
    pub drain_ms: u64,
    /// Seconds until a connection is closed, calls under way being finished, and
    /// dialled anew: what its buffers held of a face goes with them.
    #[serde(default = "default_connection_age")]
    pub max_connection_age_s: u64,
    /// Calls served at once; more are refused with RESOURCE_EXHAUSTED.
    #[serde(default = "default_concurrency")]
    pub max_concurrent_calls: usize,
}

impl ServerConfig {
    pub fn connection_age(&self) -> Duration {
        Duration::from_secs(self.max_connection_age_s.max(1))
    }

    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

/// `[admin]`: plaintext health and metrics on a private port.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    pub listen: SocketAddr,
}

/// `[tls]`: this process's mesh identity, PEM files, read again when they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    pub trust_bundle: PathBuf,
    pub trust_domain: String,
    /// Certificates that are not believed, though their CA is: serial numbers
    /// or SHA-256 thumbprints in hexadecimal, one a line.
    #[serde(default)]
    pub deny_list: Option<PathBuf>,
}

/// `[telemetry]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    pub log_format: LogFormat,
    /// A `tracing` filter such as `info,access_svc=debug`.
    pub log_filter: String,
    /// OTLP over gRPC, e.g. `http://collector:4317`; none exports nothing.
    pub otlp_endpoint: Option<String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Json,
            log_filter: "info".into(),
            otlp_endpoint: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Pretty,
}

/// `[database]`: `sqlite://<file>` or `postgres://…`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    pub url: String,
    #[serde(default = "default_connections")]
    pub max_connections: u32,
    /// Lets a PostgreSQL over the network be spoken to as its URL says,
    /// without TLS or without asking who answers.
    #[serde(default)]
    pub allow_plaintext_for_development: bool,
}

/// `[keyring]`: the key file, outside the database and the data folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyringConfig {
    pub path: PathBuf,
    /// A Secret mounted under an fsGroup is readable by that group.
    #[serde(default)]
    pub allow_group_read: bool,
    /// Whether the service adds and retires epochs itself, in one file that
    /// all its replicas share. False for a mounted Secret, which an operator
    /// changes.
    #[serde(default = "default_managed")]
    pub managed: bool,
    /// Age of an epoch at which a new one takes over by itself; 0 is never.
    #[serde(default = "default_rotate_every_days")]
    pub rotate_every_days: u32,
    #[serde(default)]
    pub transit: Option<TransitConfig>,
}

impl KeyringConfig {
    /// All defaults, for the file named.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            allow_group_read: false,
            managed: default_managed(),
            rotate_every_days: default_rotate_every_days(),
            transit: None,
        }
    }
}

/// `[keyring.transit]`: a key of Vault's or OpenBao's Transit engine that
/// wraps the keys in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitConfig {
    /// `https://host:port`; `http://` on loopback alone.
    pub endpoint: String,
    /// Name of the Transit key. This service's alone: retiring an epoch trims
    /// the versions that came before, and whatever else they wrapped is lost.
    pub key: String,
    #[serde(default = "default_mount")]
    pub mount: String,
    /// Read at every call, since agents renew it; as private as the key file.
    pub token_path: PathBuf,
    /// PEM; the system's CAs are trusted where there is none.
    pub ca_path: Option<PathBuf>,
}

/// `[limits]`: how a service counts what goes wrong.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Replicas of the service, each of which counts its share.
    pub replicas: NonZeroU32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            replicas: NonZeroU32::MIN,
        }
    }
}

/// `[peers.<service>]`: where another service is dialled.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// `https://host:port`.
    pub endpoint: String,
}

fn default_drain_ms() -> u64 {
    10_000
}

fn default_connection_age() -> u64 {
    60
}

fn default_concurrency() -> usize {
    1_024
}

fn default_connections() -> u32 {
    8
}

fn default_managed() -> bool {
    true
}

fn default_rotate_every_days() -> u32 {
    7
}

fn default_mount() -> String {
    "transit".into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        server: ServerConfig,
    }

    fn load_text(text: &str) -> Result<Sample, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        load(file.path())
    }

    #[test]
    fn the_wrong_key_is_named() {
        let error = load_text("[server]\nlisten = \"127.0.0.1:1\"\nlissten = 3\n")
            .expect_err("an unknown key");
        assert!(error.to_string().contains("lissten"), "{error}");
        let error = load_text("[server]\nlisten = \"nowhere\"\n").expect_err("a bad address");
        assert!(error.to_string().contains("server.listen"), "{error}");
    }

    #[test]
    fn a_keyring_has_defaults() {
        let read = |text: &str| {
            Figment::from(Toml::string(text))
                .extract::<KeyringConfig>()
                .expect("a keyring's configuration")
        };
        let plain = read("path = \"keys.json\"");
        assert!(plain.managed && plain.transit.is_none() && !plain.allow_group_read);
        assert_eq!(plain.rotate_every_days, 7);
        let wrapped = read(
            "path = \"keys.json\"\nmanaged = false\n[transit]\nendpoint = \"https://vault:8200\"\n\
             key = \"auth-svc\"\ntoken_path = \"token\"\n",
        );
        assert!(!wrapped.managed);
        assert_eq!(wrapped.transit.expect("Transit").mount, "transit");
    }

    #[test]
    fn a_peers_name_may_be_written_as_shells_can() {
        assert_eq!(
            with_hyphens("PEERS__AUTH_SVC__ENDPOINT"),
            "PEERS__AUTH-SVC__ENDPOINT"
        );
        assert_eq!(
            with_hyphens("PEERS__AUTH-SVC__ENDPOINT"),
            "PEERS__AUTH-SVC__ENDPOINT"
        );
        assert_eq!(with_hyphens("TLS__TRUST_DOMAIN"), "TLS__TRUST_DOMAIN");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Sample>(Path::new("/nonexistent/x.toml")).expect_err("no file");
        assert!(error.to_string().contains("/nonexistent/x.toml"));
    }
}
