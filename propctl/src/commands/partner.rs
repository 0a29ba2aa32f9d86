use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use propdev_proto::access::{
    self, CreatePartnerRequest, ListPartnersRequest, PartnerClientCredentials, ProbePartnerRequest,
    ProbePartnerResponse, UpdatePartnerRequest, partner_service_client::PartnerServiceClient,
};

use crate::{
    connection::Session,
    error::Failure,
    input,
    output::{Row, yes_no},
    pages::Limit,
    reference::Changes,
};

#[derive(Subcommand)]
pub(crate) enum Partner {
    /// Register a partner and our two clients there
    Add(Box<Add>),
    List(Limit),
    /// Change how a partner is reached, or our clients there; counts from the next command on
    Update(Box<Update>),
    /// Ask the partner's auth server for a token as each of our clients; exits 1 when one is refused
    Test {
        partner_id: String,
    },
}

#[derive(Args)]
pub(crate) struct Add {
    /// For people
    #[arg(long)]
    name: String,
    /// Of the partner's OAuth 2.0 server, https
    #[arg(long, value_name = "URL")]
    token_url: String,
    /// Of the partner's gateway, https
    #[arg(long, value_name = "URL")]
    api_base: String,
    /// Our client there that speaks for doors
    #[arg(long, value_name = "ID")]
    intercom_client_id: String,
    /// File of the secret, - for stdin
    #[arg(long, value_name = "FILE")]
    intercom_secret_file: PathBuf,
    /// Our client there that speaks for barriers
    #[arg(long, value_name = "ID")]
    barrier_client_id: String,
    /// File of the secret, - for stdin
    #[arg(long, value_name = "FILE")]
    barrier_secret_file: PathBuf,
    /// PEM of the CA of the partner's servers, or of their self-signed certificate; without it,
    /// the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Send the device id alone
    #[arg(long)]
    minimal: bool,
    /// Path of a door command, with {device_id}
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    door_path: String,
    /// Path of a barrier command, with {device_id}
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    barrier_path: String,
}

#[derive(Args)]
pub(crate) struct Update {
    partner_id: String,
    #[arg(long)]
    name: Option<String>,
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    #[arg(long, value_name = "URL")]
    api_base: Option<String>,
    /// In place of our client there that speaks for doors
    #[arg(long, value_name = "ID", requires = "intercom_secret_file")]
    intercom_client_id: Option<String>,
    /// File of the secret, - for stdin
    #[arg(long, value_name = "FILE", requires = "intercom_client_id")]
    intercom_secret_file: Option<PathBuf>,
    /// In place of our client there that speaks for barriers
    #[arg(long, value_name = "ID", requires = "barrier_secret_file")]
    barrier_client_id: Option<String>,
    /// File of the secret, - for stdin
    #[arg(long, value_name = "FILE", requires = "barrier_client_id")]
    barrier_secret_file: Option<PathBuf>,
    /// PEM of the CA of the partner's servers, or of their self-signed certificate
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust the system's CAs again
    #[arg(long, conflicts_with = "ca")]
    system_ca: bool,
    /// Whether the device id is sent alone
    #[arg(long)]
    minimal: Option<bool>,
    /// Path of a door command, with {device_id}; '' for the usual one
    #[arg(long, value_name = "PATH")]
    door_path: Option<String>,
    /// Path of a barrier command, with {device_id}; '' for the usual one
    #[arg(long, value_name = "PATH")]
    barrier_path: Option<String>,
    /// Only if it is still as it was read: the settings_version that list told
    #[arg(
        long,
        value_name = "VERSION",
        default_value_t = 0,
        hide_default_value = true
    )]
    settings_version: i64,
}

impl Partner {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut partners = PartnerServiceClient::new(session.access()?);
        match self {
            Self::Add(add) => {
                let reply = partners.create_partner(add.request()?).await?.into_inner();
                session.output.one(reply.partner.as_ref())
            }
            Self::List(limit) => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListPartnersRequest {
                            page_size,
                            page_token,
                        };
                        let reply = partners.list_partners(request).await?.into_inner();
                        Ok((reply.partners, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Update(update) => {
                let request = update.request()?;
                let reply = partners.update_partner(request).await?.into_inner();
                session.output.one(reply.partner.as_ref())
            }
            Self::Test { partner_id } => {
                let request = ProbePartnerRequest { partner_id };
                let reply = partners.probe_partner(request).await?.into_inner();
                session.output.one(Some(&reply))?;
                if reply.intercom_fault.is_empty() && reply.barrier_fault.is_empty() {
                    return Ok(());
                }
                Err(Failure::Outcome {
                    message: "the partner gave no token to one of our clients".into(),
                    exit_code: Failure::REFUSED,
                })
            }
        }
    }
}

impl Add {
    fn request(self) -> Result<CreatePartnerRequest, Failure> {
        one_from_stdin(&self.intercom_secret_file, &self.barrier_secret_file)?;
        let ca_pem = match &self.ca {
            Some(path) => read_ca(path)?,
            None => String::new(),
        };
        let intercom = credentials(self.intercom_client_id, &self.intercom_secret_file)?;
        let barrier = credentials(self.barrier_client_id, &self.barrier_secret_file)?;
        Ok(CreatePartnerRequest {
            intercom: Some(intercom),
            barrier: Some(barrier),
            partner: Some(access::Partner {
                name: self.name,
                token_url: self.token_url,
                api_base: self.api_base,
                door_path: self.door_path,
                barrier_path: self.barrier_path,
                minimal: self.minimal,
                ca_pem,
                ..access::Partner::default()
            }),
        })
    }
}

impl Update {
    fn request(self) -> Result<UpdatePartnerRequest, Failure> {
        if let (Some(intercom), Some(barrier)) =
            (&self.intercom_secret_file, &self.barrier_secret_file)
        {
            one_from_stdin(intercom, barrier)?;
        }
        let mut changes = Changes::default();
        let ca_pem = match &self.ca {
            Some(path) => Some(read_ca(path)?),
            None => self.system_ca.then(String::new),
        };
        let partner = access::Partner {
            partner_id: self.partner_id,
            name: changes.take("name", self.name),
            token_url: changes.take("token_url", self.token_url),
            api_base: changes.take("api_base", self.api_base),
            door_path: changes.take("door_path", self.door_path),
            barrier_path: changes.take("barrier_path", self.barrier_path),
            minimal: changes.take("minimal", self.minimal),
            ca_pem: changes.take("ca_pem", ca_pem),
            settings_version: self.settings_version,
        };
        let mut ours = |field, id: Option<String>, file: Option<PathBuf>| {
            let given = id.zip(file);
            changes.take(field, given.as_ref().map(|_| ()));
            given.map(|(id, file)| credentials(id, &file)).transpose()
        };
        let intercom = ours(
            "intercom",
            self.intercom_client_id,
            self.intercom_secret_file,
        )?;
        let barrier = ours("barrier", self.barrier_client_id, self.barrier_secret_file)?;
        Ok(UpdatePartnerRequest {
            partner: Some(partner),
            intercom,
            barrier,
            update_mask: changes.mask()?,
        })
    }
}

fn one_from_stdin(intercom: &Path, barrier: &Path) -> Result<(), Failure> {
    let stdin = Path::new(input::STDIN);
    if intercom == stdin && barrier == stdin {
        return Err(Failure::Usage("only one secret can come from stdin".into()));
    }
    Ok(())
}

fn read_ca(path: &Path) -> Result<String, Failure> {
    mesh::tls::read_certificates(path).map_err(|error| Failure::Usage(error.to_string()))?;
    fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

fn credentials(client_id: String, file: &Path) -> Result<PartnerClientCredentials, Failure> {
    Ok(PartnerClientCredentials {
        client_id,
        client_secret: std::mem::take(&mut *input::secret(file)?),
    })
}

impl Row for access::Partner {
    const MESSAGE: &'static str = "propdev.access.v1.Partner";
    const COLUMNS: &'static [&'static str] = &[
        "PARTNER",
        "NAME",
        "TOKEN URL",
        "API BASE",
        "OWN CA",
        "MINIMAL",
        "VERSION",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.partner_id.clone(),
            self.name.clone(),
            self.token_url.clone(),
            self.api_base.clone(),
            yes_no(!self.ca_pem.is_empty()),
            yes_no(self.minimal),
            self.settings_version.to_string(),
        ]
    }
}

impl Row for ProbePartnerResponse {
    const MESSAGE: &'static str = "propdev.access.v1.ProbePartnerResponse";
    const COLUMNS: &'static [&'static str] = &["INTERCOM CLIENT", "BARRIER CLIENT"];

    fn cells(&self) -> Vec<String> {
        let told = |fault: &str| {
            if fault.is_empty() {
                "ok".into()
            } else {
                fault.into()
            }
        };
        vec![told(&self.intercom_fault), told(&self.barrier_fault)]
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        update: Update,
    }

    #[test]
    fn only_what_is_given_is_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        fs::write(&file, "s3cret\n").expect("a file");
        let file = file.to_str().expect("a path");
        let request = |arguments: &[&str]| {
            let line = ["update", "p-1"].iter().chain(arguments);
            Line::try_parse_from(line).map(|line| line.update.request())
        };
        let secret = ["--intercom-client-id", "c", "--intercom-secret-file", file];
        let rotated = request(&secret).expect("arguments").expect("a request");
        assert_eq!(rotated.update_mask.expect("a mask").paths, ["intercom"]);
        assert_eq!(rotated.intercom.expect("a client").client_secret, "s3cret");
        assert!(rotated.barrier.is_none());

        let others = [
            "--system-ca",
            "--minimal",
            "false",
            "--settings-version",
            "3",
        ];
        let others = request(&others).expect("arguments").expect("a request");
        let paths = others.update_mask.expect("a mask").paths;
        assert_eq!(paths, ["minimal", "ca_pem"]);
        assert_eq!(others.partner.expect("a partner").settings_version, 3);

        assert!(request(&["--intercom-client-id", "c"]).is_err());
        assert!(request(&[]).expect("arguments").is_err());
    }
}
