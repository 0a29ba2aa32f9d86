use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand};
use mesh::{Clock, SystemClock, keyring::Keyring};
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
                // A bare file name has no folder that could be synced.
                let path = std::path::absolute(&out)
                    .map_err(|error| Failure::Usage(format!("{}: {error}", out.display())))?;
                Keyring::create(&service, &path, SystemClock.now())
                    .map_err(|error| Failure::Usage(error.to_string()))?;
                output.done(
                    json!({ "keyring": out, "service": service }),
                    &format!("keyring of {service} in {}", out.display()),
                )
            }
        }
    }
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
