//! What an operator says of backups, of the erasure ledger and of where a
//! store may live.

use std::path::PathBuf;

use serde::Deserialize;

/// `[backup]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// Where backups are written and looked for; none takes no backups.
    pub folder: Option<PathBuf>,
}

/// `[erasure]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureConfig {
    /// The erasure ledger: outside the database, the backups and, where
    /// possible, the machine's own disk.
    pub ledger: PathBuf,
    /// Folders that hold a copy each, written before an erasure is confirmed.
    #[serde(default)]
    pub copies: Vec<PathBuf>,
}

/// `[residency]`: whose store this is and where it must lie.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidencyConfig {
    /// For example `ru-moscow`.
    pub region: String,
    /// A UUID or a name, the same for every service of a deployment.
    pub deployment: String,
    /// Labels a store that has data and no identity, as one made by an older
    /// release. To be taken out again after one start.
    #[serde(default)]
    pub adopt_store_without_identity: bool,
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format, Toml},
    };

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        backup: BackupConfig,
        erasure: ErasureConfig,
        residency: ResidencyConfig,
    }

    fn read(text: &str) -> Result<Sample, String> {
        Figment::from(Toml::string(text))
            .extract()
            .map_err(|error| error.to_string())
    }

    const GOOD: &str = "[erasure]\nledger = \"/l\"\n\
        [residency]\nregion = \"ru-moscow\"\ndeployment = \"d\"\n";

    #[test]
    fn what_may_be_left_out_is() {
        let sample = read(GOOD).expect("a configuration");
        assert!(sample.backup.folder.is_none());
        assert!(sample.erasure.copies.is_empty());
        assert!(!sample.residency.adopt_store_without_identity);
    }

    #[test]
    fn an_unknown_key_is_named() {
        for (section, key) in [
            ("backup", "foldr"),
            ("erasure", "copy"),
            ("residency", "zone"),
        ] {
            let text = if section == "backup" {
                format!("{GOOD}[backup]\n{key} = \"x\"\n")
            } else {
                GOOD.replace(
                    &format!("[{section}]\n"),
                    &format!("[{section}]\n{key} = \"x\"\n"),
                )
            };
            let error = read(&text).err().expect("refused");
            assert!(error.contains(key), "{error}");
        }
    }
}
