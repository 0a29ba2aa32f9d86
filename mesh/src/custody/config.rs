//! What an operator says of backups, of the erasure ledger and of where a
//! store may live.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

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
    #[serde(default)]
    pub act: Particulars,
}

/// `[erasure.act]`: what an act of destruction names and no store knows.
/// Receipts say it as it stands here, and leave out what does not.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Particulars {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Party>,
    /// Who processes on the operator's behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<Party>,
    /// Who answers for what the services destroy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destroyed_by: Option<Official>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub information_system: Option<Text>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    pub name: Text,
    pub address: Text,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Official {
    pub name: Text,
    pub post: Text,
}

/// Not empty: what is signed once cannot be filled in later.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Text(String);

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.trim().is_empty() {
            return Err("must not be empty");
        }
        Ok(Self(text))
    }
}

/// An official's name is not for logs.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(..)")
    }
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
    use serde_json::json;

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
        let told = serde_json::to_value(&sample.erasure.act).expect("claims");
        assert_eq!(told, json!({}));
    }

    #[test]
    fn what_an_act_names_is_told_as_it_stands() {
        let text = format!(
            "{GOOD}[erasure.act]\ninformation_system = \"access\"\n\
             operator = {{ name = \"o\", address = \"a\" }}\n\
             destroyed_by = {{ name = \"n\", post = \"p\" }}\n"
        );
        let sample = read(&text).expect("a configuration");
        assert_eq!(
            serde_json::to_value(&sample.erasure.act).expect("claims"),
            json!({
                "operator": { "name": "o", "address": "a" },
                "destroyed_by": { "name": "n", "post": "p" },
                "information_system": "access",
            })
        );
        assert!(!format!("{:?}", sample.erasure.act).contains("\"n\""));
    }

    #[test]
    fn who_an_act_names_has_a_name_and_an_address() {
        for (line, named) in [
            ("operator = { name = \"o\" }", "address"),
            ("processor = { address = \"a\" }", "name"),
            (
                "operator = { name = \" \", address = \"a\" }",
                "must not be empty",
            ),
            ("information_system = \"\"", "must not be empty"),
            ("signature = \"s\"", "signature"),
        ] {
            let text = format!("{GOOD}[erasure.act]\n{line}\n");
            let error = read(&text).err().expect("refused");
            assert!(error.contains(named), "{line}: {error}");
        }
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
