use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use propdev_proto::access::{
    self, CreatePartnerRequest, ListPartnersRequest, PartnerClientCredentials, ProbePartnerRequest,
    ProbePartnerResponse, partner_service_client::PartnerServiceClient,
};

use crate::{
    connection::Session,
    error::Failure,
    input,
    output::{Row, yes_no},
    pages::Limit,
};

#[derive(Subcommand)]
pub(crate) enum Partner {
    /// Register a partner and our two clients there
    Add(Box<Add>),
    List(Limit),
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
    /// PEM of the CA of the partner's servers; without it, the system's
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
        let stdin = Path::new(input::STDIN);
        if self.intercom_secret_file == stdin && self.barrier_secret_file == stdin {
            return Err(Failure::Usage("only one secret can come from stdin".into()));
        }
        let ca_pem = match &self.ca {
            Some(path) => {
                mesh::tls::read_certificates(path)
                    .map_err(|error| Failure::Usage(error.to_string()))?;
                fs::read_to_string(path)
                    .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?
            }
            None => String::new(),
        };
        let credentials = |client_id, file: &Path| {
            Ok::<_, Failure>(Some(PartnerClientCredentials {
                client_id,
                client_secret: std::mem::take(&mut *input::secret(file)?),
            }))
        };
        Ok(CreatePartnerRequest {
            intercom: credentials(self.intercom_client_id, &self.intercom_secret_file)?,
            barrier: credentials(self.barrier_client_id, &self.barrier_secret_file)?,
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

impl Row for access::Partner {
    const MESSAGE: &'static str = "propdev.access.v1.Partner";
    const COLUMNS: &'static [&'static str] = &[
        "PARTNER",
        "NAME",
        "TOKEN URL",
        "API BASE",
        "OWN CA",
        "MINIMAL",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.partner_id.clone(),
            self.name.clone(),
            self.token_url.clone(),
            self.api_base.clone(),
            yes_no(!self.ca_pem.is_empty()),
            yes_no(self.minimal),
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
