//! Configuration of auth-svc.

use mesh::{
    config::{
        AdminConfig, DatabaseConfig, KeyringConfig, PeerConfig, ServerConfig, TelemetryConfig,
        TlsConfig,
    },
    service::ServiceConfig,
};
use serde::Deserialize;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: ServerConfig,
    pub admin: AdminConfig,
    pub tls: TlsConfig,
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    pub database: DatabaseConfig,
    pub keyring: KeyringConfig,
    pub peers: Peers,
    pub tokens: TokenConfig,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Peers {
    pub biometric_svc: PeerConfig,
    pub access_svc: PeerConfig,
}

/// `[tokens]`: what the access tokens say and how long they live.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// `iss`: the edge's public base URL.
    pub issuer: String,
    /// `aud`: the API's identifier, which `resource` may name.
    pub audience: String,
    /// Seconds that a token by face or plate lives.
    #[serde(default = "default_subject_lifetime")]
    pub subject_lifetime_s: u32,
    /// Seconds that a client-only token lives.
    #[serde(default = "default_client_lifetime")]
    pub client_lifetime_s: u32,
}

impl ServiceConfig for Config {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

fn default_subject_lifetime() -> u32 {
    60
}

fn default_client_lifetime() -> u32 {
    600
}
