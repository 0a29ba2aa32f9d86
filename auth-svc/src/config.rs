//! Configuration of auth-svc.

use mesh::{
    config::{
        AdminConfig, DatabaseConfig, KeyringConfig, LimitsConfig, PeerConfig, ServerConfig,
        TelemetryConfig, TlsConfig,
    },
    custody::config::{BackupConfig, ResidencyConfig},
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
    pub residency: ResidencyConfig,
    #[serde(default)]
    pub backup: BackupConfig,
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

/// A key and what its value must be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be {wanted}")]
pub struct OutOfBounds {
    key: &'static str,
    wanted: &'static str,
}

impl TokenConfig {
    /// A key set is published for as long as the longest token lives.
    pub(crate) fn validate(&self) -> Result<(), OutOfBounds> {
        let bounds = 10..=LONGEST_LIFETIME_S;
        for (key, lifetime) in [
            ("tokens.subject_lifetime_s", self.subject_lifetime_s),
            ("tokens.client_lifetime_s", self.client_lifetime_s),
        ] {
            let wanted = "10 to 3,600 seconds";
            if !bounds.contains(&lifetime) {
                return Err(OutOfBounds { key, wanted });
            }
        }
        self.signing.validate()
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
    /// Lets keys sign before verifiers that keep the key set have seen them.
    pub allow_fast_rotation_for_development: bool,
}

/// Verifiers may keep the key set for 300 s (the edge's `Cache-Control`), and
/// replicas their knowledge for 2 s; the rest is for clocks.
const LEAST_PUBLISHED_S: u32 = 330;

impl SigningConfig {
    fn validate(&self) -> Result<(), OutOfBounds> {
        let fault = |key, wanted| Err(OutOfBounds { key, wanted });
        if self.rotate_after_s == 0 {
            return fault("tokens.signing.rotate_after_s", "at least 1 second");
        }
        if self.allow_fast_rotation_for_development {
            return Ok(());
        }
        if self.publish_before_s < LEAST_PUBLISHED_S {
            return fault("tokens.signing.publish_before_s", "at least 330 seconds");
        }
        if self.rotate_after_s / 2 < self.publish_before_s {
            return fault(
                "tokens.signing.rotate_after_s",
                "at least twice tokens.signing.publish_before_s",
            );
        }
        Ok(())
    }
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
            allow_fast_rotation_for_development: false,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut TokenConfig)) -> Option<&'static str> {
        let mut config = TokenConfig {
            issuer: "https://edge.example".into(),
            audience: "https://edge.example".into(),
            subject_lifetime_s: default_subject_lifetime(),
            client_lifetime_s: default_client_lifetime(),
            signing: SigningConfig::default(),
        };
        change(&mut config);
        config.validate().err().map(|fault| fault.key)
    }

    #[test]
    fn a_value_out_of_bounds_is_named() {
        assert_eq!(fault(|_| ()), None);
        let lifetime = Some("tokens.subject_lifetime_s");
        assert_eq!(fault(|c| c.subject_lifetime_s = 9), lifetime);
        let lifetime = Some("tokens.client_lifetime_s");
        assert_eq!(fault(|c| c.client_lifetime_s = 3_601), lifetime);
        let publish = Some("tokens.signing.publish_before_s");
        assert_eq!(fault(|c| c.signing.publish_before_s = 329), publish);
        assert_eq!(fault(|c| c.signing.publish_before_s = 330), None);
        let rotate = Some("tokens.signing.rotate_after_s");
        assert_eq!(fault(|c| c.signing.rotate_after_s = 1_199), rotate);
        assert_eq!(fault(|c| c.signing.rotate_after_s = 1_200), None);
    }

    #[test]
    fn only_a_development_mesh_rotates_faster() {
        let fast = |rotate_after_s| {
            move |config: &mut TokenConfig| {
                config.signing = SigningConfig {
                    rotate_after_s,
                    publish_before_s: 1,
                    allow_fast_rotation_for_development: true,
                    ..SigningConfig::default()
                };
            }
        };
        assert_eq!(fault(fast(2)), None);
        assert_eq!(fault(fast(0)), Some("tokens.signing.rotate_after_s"));
    }
}
