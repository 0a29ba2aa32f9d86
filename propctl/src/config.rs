//! Connection settings: the file, then `PROPCTL_` variables over it.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
    value::{Uncased, magic::RelativePathBuf},
};
use mesh::config::TlsConfig;
use serde::Deserialize;

use crate::error::Failure;

const DEFAULT_FILE: &str = "propctl.toml";

#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) tls: TlsConfig,
    pub(crate) endpoints: Endpoints,
    /// For messages: where the settings came from.
    pub(crate) origin: String,
}

/// `[endpoints]`. An operator need not reach every service.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Endpoints {
    pub(crate) auth_svc: Option<String>,
    pub(crate) access_svc: Option<String>,
    pub(crate) biometric_svc: Option<String>,
    /// The inside listener, for `doctor` alone.
    pub(crate) edge_rest: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls: TlsSection,
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsSection {
    certificate: RelativePathBuf,
    private_key: RelativePathBuf,
    trust_bundle: RelativePathBuf,
    trust_domain: String,
}

pub(crate) fn load(given: Option<&Path>) -> Result<Config, Failure> {
    let path = given.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
    let present = path.is_file();
    if given.is_some() && !present {
        return Err(Failure::Usage(format!(
            "configuration file {} does not exist",
            path.display()
        )));
    }
    let file = if present {
        Figment::from(Toml::file_exact(&path))
    } else {
        Figment::new()
    };
    let settings: File = file
        .merge(
            Env::prefixed("PROPCTL_")
                .ignore(&["config", "output", "timeout"])
                .map(|key| Uncased::from(settings_key(key.as_str()))),
        )
        .extract()
        .map_err(|error| {
            let faults: Vec<String> = error.into_iter().map(|fault| fault.to_string()).collect();
            let faults = faults.join("; ");
            Failure::Usage(if present {
                format!("configuration is wrong: {faults}")
            } else {
                format!(
                    "no configuration: name a file with --config or PROPCTL_CONFIG, \
                     or put {DEFAULT_FILE} here ({faults})"
                )
            })
        })?;
    Ok(Config {
        tls: TlsConfig {
            certificate: settings.tls.certificate.relative(),
            private_key: settings.tls.private_key.relative(),
            trust_bundle: settings.tls.trust_bundle.relative(),
            trust_domain: settings.tls.trust_domain,
            deny_list: None,
        },
        endpoints: settings.endpoints,
        origin: if present {
            path.display().to_string()
        } else {
            "the environment".into()
        },
    })
}

/// `ENDPOINTS__ACCESS_SVC` is `endpoints.access-svc`: variables' names hold no dash.
fn settings_key(variable: &str) -> String {
    let key = variable.to_ascii_lowercase().replace("__", ".");
    match key.strip_prefix("endpoints.") {
        Some(service) => format!("endpoints.{}", service.replace('_', "-")),
        None => key,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TLS: &str = "[tls]\ncertificate = \"op/tls.crt\"\nprivate_key = \"/keys/tls.key\"\n\
                       trust_bundle = \"ca.crt\"\ntrust_domain = \"propdev.example\"\n";

    fn load_text(text: &str) -> Result<(PathBuf, Config), Failure> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("settings.toml");
        fs::write(&path, text).expect("written");
        load(Some(&path)).map(|config| (dir.path().to_owned(), config))
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let (dir, config) = load_text(&format!(
            "{TLS}[endpoints]\naccess-svc = \"https://127.0.0.1:1\"\n"
        ))
        .expect("settings");
        assert_eq!(config.tls.certificate, dir.join("op/tls.crt"));
        assert_eq!(config.tls.private_key, Path::new("/keys/tls.key"));
        assert_eq!(
            config.endpoints.access_svc.as_deref(),
            Some("https://127.0.0.1:1")
        );
        assert_eq!(config.endpoints.auth_svc, None);
    }

    #[test]
    fn the_wrong_key_is_named() {
        let error = load_text(&format!("{TLS}[endpoints]\naccess_svc = \"https://a:1\"\n"))
            .expect_err("an unknown key");
        assert!(
            error.lines()[0].contains("access_svc"),
            "{:?}",
            error.lines()
        );
        let error = load_text("[tls]\ncertificate = \"a\"\n").expect_err("a missing key");
        assert!(
            error.lines()[0].contains("private_key"),
            "{:?}",
            error.lines()
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Some(Path::new("/nonexistent/x.toml"))).expect_err("no file");
        assert_eq!(error.exit_code(), 2);
        assert!(error.lines()[0].contains("/nonexistent/x.toml"));
    }

    #[test]
    fn variables_name_endpoints_without_dashes() {
        assert_eq!(settings_key("TLS__PRIVATE_KEY"), "tls.private_key");
        assert_eq!(
            settings_key("ENDPOINTS__BIOMETRIC_SVC"),
            "endpoints.biometric-svc"
        );
    }
}
