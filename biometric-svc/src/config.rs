//! Configuration of biometric-svc.

use mesh::{
    config::{
        AdminConfig, DatabaseConfig, KeyringConfig, ServerConfig, TelemetryConfig, TlsConfig,
    },
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
    #[serde(default = "default_models")]
    pub models: Vec<ModelConfig>,
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
        self.models
            .iter()
            .enumerate()
            .map(|(index, model)| {
                Model::new(model).map_err(|detail| RunError::Model { index, detail })
            })
            .collect()
    }
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
