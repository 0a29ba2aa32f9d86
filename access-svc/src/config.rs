//! Configuration of access-svc.

use std::time::Duration;

use mesh::{
    config::{
        AdminConfig, DatabaseConfig, KeyringConfig, LimitsConfig, PeerConfig, ServerConfig,
        TelemetryConfig, TlsConfig,
    },
    custody::config::{BackupConfig, ErasureConfig, ResidencyConfig},
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
    pub residency: ResidencyConfig,
    #[serde(default)]
    pub backup: BackupConfig,
    pub erasure: ErasureConfig,
    pub peers: Peers,
    pub tokens: TokenConfig,
    #[serde(default)]
    pub commands: CommandConfig,
    #[serde(default)]
    pub limits: LimitsConfig,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Peers {
    pub auth_svc: PeerConfig,
    pub biometric_svc: PeerConfig,
    pub edge_rest: PeerConfig,
}

/// `[tokens]`: which access tokens are ours.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    pub issuer: String,
    pub audience: String,
}

/// `[commands]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandConfig {
    /// Milliseconds after the decision during which a command may be sent.
    pub expiry_ms: u64,
}

impl Default for CommandConfig {
    fn default() -> Self {
        Self { expiry_ms: 5_000 }
    }
}

impl CommandConfig {
    pub(crate) fn expiry(&self) -> Duration {
        Duration::from_millis(self.expiry_ms)
    }
}

impl ServiceConfig for Config {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}
