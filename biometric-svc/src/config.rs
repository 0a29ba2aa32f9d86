//! Configuration of biometric-svc.

use mesh::{
    config::{
        AdminConfig, DatabaseConfig, KeyringConfig, ServerConfig, TelemetryConfig, TlsConfig,
    },
    custody::config::{BackupConfig, ErasureConfig, ResidencyConfig},
    service::ServiceConfig,
};
use serde::Deserialize;

use crate::{RunError, domain::model::Model};

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
    #[serde(default = "default_models")]
    pub models: Vec<ModelConfig>,
    #[serde(default)]
    pub search: SearchConfig,
}

/// `[search]`: how searches are run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    /// Threads of large searches; 0 for as many as there are cores.
    pub threads: usize,
    /// Searches that may wait, large and small ones each; more are refused with
    /// RESOURCE_EXHAUSTED.
    pub queue: usize,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            queue: 256,
        }
    }
}

impl SearchConfig {
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

/// `[[models]]`: an embedding model whose vectors are taken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    pub name: String,
    pub version: String,
    /// 128 to 1024.
    pub dimension: usize,
    /// Least cosine similarity of a match, whatever the gallery's size.
    pub threshold: f32,
    /// Least distance between the best two subjects.
    pub margin: f32,
    /// Most false matches wanted in a search, whatever the gallery's size.
    #[serde(default = "default_false_match_bound")]
    pub false_match_bound: f64,
}

impl ServiceConfig for Config {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

impl Config {
    pub(crate) fn models(&self) -> Result<Vec<Model>, RunError> {
        models(&self.models)
    }
}

fn models(configured: &[ModelConfig]) -> Result<Vec<Model>, RunError> {
    let checked = |(index, model): (usize, &ModelConfig)| {
        let fault = |detail| RunError::Model { index, detail };
        // Whoever asks names the model alone.
        let mut before = configured[..index].iter();
        if before.any(|other| other.name == model.name) {
            return Err(fault("name is another model's already"));
        }
        Model::new(model).map_err(fault)
    };
    configured.iter().enumerate().map(checked).collect()
}

fn default_models() -> Vec<ModelConfig> {
    vec![ModelConfig {
        name: "arcface-r100".into(),
        version: "1".into(),
        dimension: 512,
        threshold: 0.45,
        margin: 0.05,
        false_match_bound: default_false_match_bound(),
    }]
}

fn default_false_match_bound() -> f64 {
    1e-4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_versions_of_one_name_are_refused() {
        let mut configured = default_models();
        configured.extend(default_models());
        configured[1].name = "another".into();
        assert_eq!(models(&configured).expect("two models").len(), 2);
        configured[1].name = configured[0].name.clone();
        configured[1].version = "2".into();
        let error = models(&configured).expect_err("refused").to_string();
        assert!(error.contains("models[1]: name"), "{error}");
    }
}
