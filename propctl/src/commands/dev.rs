use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use mesh::{
    Clock, SystemClock,
    config::KeyringConfig,
    keyring::{Keyring, KeyringError},
};
use propctl::dev::{self, DevError, Issued, Names, Validity};
use serde_json::json;

use crate::{error::Failure, output::Output};

#[derive(Subcommand)]
pub(crate) enum Dev {
    /// Make a CA (ca.crt, ca.key) in a folder; never overwrites one
    Ca {
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[arg(long, default_value = dev::DEFAULT_TRUST_DOMAIN)]
        trust_domain: String,
    },
    /// Issue a certificate of the mesh (tls.crt, tls.key), in place of an older one there
    Cert {
        /// Folder of the CA
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// svc/NAME, operator/viewer|operator|privacy/NAME or system/billing|registry/NAME
        #[arg(long)]
        identity: String,
        #[command(flatten)]
        names: NameArgs,
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[arg(long, default_value_t = dev::DEFAULT_DAYS)]
        days: u32,
    },
    /// Issue a plain HTTPS server's certificate (tls.crt, tls.key), in place of an older one there
    ServerCert {
        /// Folder of the CA
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        #[command(flatten)]
        names: NameArgs,
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[arg(long, default_value_t = dev::DEFAULT_DAYS)]
        days: u32,
    },
    /// Make a service's keyring; never overwrites one
    Keyring {
        /// Name of the service, e.g. access-svc
        #[arg(long)]
        service: String,
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Add an epoch to a keyring that its service does not manage, such as a mounted Secret's
    KeyringAdd(Held),
    /// Take an epoch out of such a keyring, once `keys status` asks for it
    KeyringRemove {
        #[command(flatten)]
        held: Held,
        #[arg(long)]
        epoch: i64,
    },
}

/// A keyring that is there.
#[derive(Args)]
pub(crate) struct Held {
    /// Name of the service, e.g. access-svc
    #[arg(long)]
    service: String,
    /// Changed in place
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args)]
pub(crate) struct NameArgs {
    /// DNS name of the server; may be repeated
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Address of the server; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
}

impl From<NameArgs> for Names {
    fn from(args: NameArgs) -> Self {
        Self {
            dns: args.dns,
            ips: args.ip,
        }
    }
}

impl From<DevError> for Failure {
    fn from(error: DevError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl Dev {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Ca { out, trust_domain } => {
                let made = dev::create_ca(&out, &trust_domain)?;
                show(output, &made, &format!("development CA of {trust_domain}"))
            }
            Self::Cert {
                ca,
                identity,
                names,
                out,
                days,
            } => {
                let validity = Validity::days_from_now(days);
                let issued = dev::issue_mesh(&ca, &identity, &names.into(), validity, &out)?;
                let what = issued.id.as_ref().map_or(identity, ToString::to_string);
                show(output, &issued, &what)
            }
            Self::ServerCert {
                ca,
                names,
                out,
                days,
            } => {
                let validity = Validity::days_from_now(days);
                let issued = dev::issue_server(&ca, &names.into(), validity, &out)?;
                show(output, &issued, "HTTPS server")
            }
            Self::Keyring { service, out } => {
                if format!("svc/{service}").parse::<mesh::Caller>().is_err() {
                    return Err(Failure::Usage(format!("'{service}' is no service's name")));
                }
                Keyring::create(&service, &absolute(&out)?, SystemClock.now())
                    .map_err(|error| Failure::Usage(error.to_string()))?;
                output.done(
                    json!({ "keyring": out, "service": service }),
                    &format!("keyring of {service} in {}", out.display()),
                )
            }
            Self::KeyringAdd(held) => {
                let epochs = held.change(async |keyring| {
                    let added = keyring.add_epoch(SystemClock.now()).await;
                    added.map(drop)
                })?;
                held.show(output, &epochs)
            }
            Self::KeyringRemove { held, epoch } => {
                let epochs = held.change(async |keyring| keyring.retire_epoch(epoch).await)?;
                held.show(output, &epochs)
            }
        }
    }
}

impl Held {
    /// The epochs there are then.
    fn change(
        &self,
        change: impl AsyncFnOnce(&Keyring) -> Result<(), KeyringError>,
    ) -> Result<Vec<i64>, Failure> {
        let config = KeyringConfig::at(absolute(&self.file)?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Local(format!("the runtime cannot start: {error}")))?;
        let changed = runtime.block_on(async {
            let keyring = Keyring::open(&self.service, &config).await?;
            change(&keyring).await?;
            Ok::<_, KeyringError>(keyring.epochs())
        });
        changed.map_err(|error| Failure::Usage(error.to_string()))
    }

    fn show(&self, output: &Output, epochs: &[i64]) -> Result<(), Failure> {
        let Self { service, file } = self;
        let named: Vec<String> = epochs.iter().map(ToString::to_string).collect();
        output.done(
            json!({ "keyring": file, "service": service, "epochs": epochs }),
            &format!(
                "keyring of {service} in {}: epochs {}",
                file.display(),
                named.join(", ")
            ),
        )
    }
}

/// A bare file name has no folder that could be synced.
fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
}

fn show(output: &Output, issued: &Issued, what: &str) -> Result<(), Failure> {
    let id = issued.id.as_ref().map(ToString::to_string);
    output.done(
        json!({
            "certificate": issued.certificate,
            "private_key": issued.private_key,
            "spiffe_id": id,
        }),
        &format!(
            "{what}: {} and {}",
            issued.certificate.display(),
            issued.private_key.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_added_and_an_older_one_taken_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = Held {
            service: "access-svc".into(),
            file: folder.path().join("keyring.json"),
        };
        Keyring::create(&held.service, &held.file, SystemClock.now()).expect("a keyring");
        let add =
            || held.change(async |keyring| keyring.add_epoch(SystemClock.now()).await.map(drop));
        let remove = |epoch| held.change(async |keyring| keyring.retire_epoch(epoch).await);
        assert_eq!(add().expect("added"), [1, 2]);
        assert!(remove(2).is_err(), "it is the current one");
        assert_eq!(remove(1).expect("taken out"), [2]);
        let text = std::fs::read_to_string(&held.file).expect("the keyring");
        assert_eq!(
            text.matches("\"kek\"").count(),
            1,
            "one epoch's keys are left"
        );
        let of_another = Held {
            service: "auth-svc".into(),
            file: held.file.clone(),
        };
        assert!(of_another.change(async |_| Ok(())).is_err());
    }
}
