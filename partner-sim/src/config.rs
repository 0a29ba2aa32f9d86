//! The simulator's configuration.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use secrecy::SecretString;
use serde::Deserialize;

use crate::Error;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    /// HTTPS when set, HTTP otherwise.
    pub tls: Option<TlsFiles>,
    pub edge: EdgeConfig,
    /// The cameras' embedding model.
    #[serde(default = "default_model")]
    pub model: String,
    #[serde(default = "default_dimension")]
    pub dimension: usize,
    #[serde(default)]
    pub partners: Vec<PartnerConfig>,
}

/// PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
}

/// The edge that cameras and keys call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeConfig {
    pub url: String,
    /// PEM of the CA of the edge's certificate.
    pub ca: PathBuf,
}

/// One partner: its client at the edge, our clients at its auth server, its devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerConfig {
    pub name: String,
    pub client_id: String,
    pub client_secret: SecretString,
    pub intercom_client_id: String,
    pub intercom_client_secret: SecretString,
    pub barrier_client_id: String,
    pub barrier_client_secret: SecretString,
    pub doors: Vec<String>,
    pub barriers: Vec<String>,
}

/// Reads the file, then the environment over it.
pub fn load(file: &Path) -> Result<Config, Error> {
    if !file.is_file() {
        return Err(Error::Config(format!("{} does not exist", file.display())));
    }
    Figment::new()
        .merge(Toml::file(file))
        .merge(Env::prefixed("PARTNER_SIM_").split("__"))
        .extract()
        .map_err(|error| Error::Config(error.to_string()))
}

fn default_model() -> String {
    "arcface-r100".into()
}

fn default_dimension() -> usize {
    512
}
