//! Configuration of access-svc.

use std::{path::PathBuf, time::Duration};

use mesh::{
    config::{
        AdminConfig, DatabaseConfig, KeyringConfig, LimitsConfig, PeerConfig, ServerConfig,
        TelemetryConfig, TlsConfig,
    },
    custody::config::{BackupConfig, ErasureConfig, ResidencyConfig},
    service::ServiceConfig,
};
use serde::Deserialize;
use url::Url;

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
    #[serde(default)]
    pub audit: AuditConfig,
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

/// `[audit]`: the log's name, where its checkpoints go, and how long it keeps
/// what it holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// The log's name in checkpoints (C2SP tlog-checkpoint); none is the trust
    /// domain and `/audit`. A log keeps its name for life.
    pub origin: Option<String>,
    /// Folders outside that checkpoints are written to.
    pub folders: Vec<PathBuf>,
    /// Witnesses that checkpoints are sent to, through edge-rest.
    pub witnesses: Vec<WitnessConfig>,
    /// Seconds after which a checkpoint goes out when there is a newer one; 0
    /// is at once. At most an hour.
    pub publish_every_s: u32,
    /// Days after which an entry's content is destroyed; its hash stays. 0 is
    /// never.
    pub keep_days: u32,
    /// Days after the end of a month at which the key of its strangers' plates,
    /// keys and fobs is destroyed.
    pub strangers_keep_days: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            origin: None,
            folders: vec![],
            witnesses: vec![],
            publish_every_s: HOUR,
            keep_days: 3 * 366,
            strangers_keep_days: 60,
        }
    }
}

/// `[[audit.witnesses]]`: a witness (C2SP tlog-witness).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// `https://`; `/add-checkpoint` is put after it.
    pub url: String,
    /// PEM; the system's CAs are trusted where there is none.
    pub ca: Option<PathBuf>,
}

const HOUR: u32 = 3_600;

/// A value that cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{key} must be {wanted}")]
pub struct OutOfBounds {
    pub key: &'static str,
    pub wanted: &'static str,
}

impl AuditConfig {
    pub(crate) fn validate(&self) -> Result<(), OutOfBounds> {
        if self.publish_every_s > HOUR {
            return Err(OutOfBounds {
                key: "audit.publish_every_s",
                wanted: "at most 3600: checkpoints leave the house at least hourly",
            });
        }
        let https = |witness: &WitnessConfig| {
            Url::parse(&witness.url).is_ok_and(|url| url.scheme() == "https")
        };
        if !self.witnesses.iter().all(https) {
            return Err(OutOfBounds {
                key: "audit.witnesses.url",
                wanted: "a URL that begins with https://",
            });
        }
        Ok(())
    }
}

impl ServiceConfig for Config {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_cannot_be_kept_in_the_house() {
        let fault = |change: fn(&mut AuditConfig)| {
            let mut config = AuditConfig::default();
            change(&mut config);
            config.validate().err().map(|fault| fault.key)
        };
        assert_eq!(fault(|_| ()), None);
        let late = fault(|config| config.publish_every_s = 3_601);
        assert_eq!(late, Some("audit.publish_every_s"));
        let open = fault(|config| {
            config.witnesses = vec![WitnessConfig {
                url: "http://witness.example".into(),
                ca: None,
            }];
        });
        assert_eq!(open, Some("audit.witnesses.url"));
    }
}
