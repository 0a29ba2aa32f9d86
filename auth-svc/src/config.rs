//! Configuration of auth-svc.

use mesh::{
    config::{
        AdminConfig, DatabaseConfig, KeyringConfig, LimitsConfig, PeerConfig, ServerConfig,
        TelemetryConfig, TlsConfig,
    },
    service::ServiceConfig,
};
use serde::Deserialize;

use crate::domain::client::LONGEST_LIFETIME_S;

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
    #[serde(default)]
    pub limits: LimitsConfig,
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
    #[serde(default)]
    pub signing: SigningConfig,
}

impl TokenConfig {
    /// The key whose value is out of bounds: a key set is published for as
    /// long as the longest token lives.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        let bounds = 10..=LONGEST_LIFETIME_S;
        if !bounds.contains(&self.subject_lifetime_s) {
            return Err("tokens.subject_lifetime_s");
        }
        if !bounds.contains(&self.client_lifetime_s) {
            return Err("tokens.client_lifetime_s");
        }
        Ok(())
    }
}

/// `[tokens.signing]`: the keys that sign.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigningConfig {
    /// Of keys made from now on.
    pub algorithm: SigningAlgorithm,
    /// Seconds that a key signs before the next one takes over.
    pub rotate_after_s: u32,
    /// Seconds that a key is published before it signs: longer than any
    /// verifier keeps the key set.
    pub publish_before_s: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SigningAlgorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Default for SigningConfig {
    fn default() -> Self {
        Self {
            algorithm: SigningAlgorithm::Es256,
            rotate_after_s: 30 * 24 * 3_600,
            publish_before_s: 600,
        }
    }
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
