use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use propdev_proto::auth::{
    self, AddClientSecretRequest, AddClientSecretResponse, ClientCertificate, ClientLimits,
    DeleteClientRequest, DeleteClientSecretRequest, GetClientRequest, IssuedCertificate,
    ListClientsRequest, RegisterClientRequest, RegisterClientResponse, SetClientStateRequest,
    TokenLifetimes, UpdateClientRequest, client_certificate::KnownBy,
    client_service_client::ClientServiceClient,
};
use serde_json::json;

use super::webhook_secret::WebhookSecret;
use crate::{
    connection::{Line, Session},
    error::Failure,
    input, moment,
    output::{Row, or_dash},
    pages::Limit,
};

pub(super) const KEEP: &str =
    "Keep the secret now: it is shown this once and cannot be read again.";

#[derive(Subcommand)]
pub(crate) enum Client {
    /// Register a client; its secret is shown this once
    Register(Box<Register>),
    List(Limit),
    /// One client with all that is registered of it
    Show {
        client_id: String,
    },
    /// Change what is given; the rest stays
    Update(Box<Update>),
    /// Refuse the client everything, within 2 s
    Disable {
        client_id: String,
    },
    Enable {
        client_id: String,
    },
    /// Remove a client, its secrets and keys; its tokens stop within 2 s
    Delete {
        client_id: String,
    },
    /// Another secret beside the one there is; shown this once
    AddSecret {
        client_id: String,
        /// When the new secret ends: RFC 3339, or a date
        #[arg(long, value_parser = moment::parse_end, value_name = "TIME")]
        expires: Option<jiff::Timestamp>,
        /// When the secrets there are shall end: RFC 3339, or a date
        #[arg(long, value_parser = moment::parse_end, value_name = "TIME")]
        others_expire: Option<jiff::Timestamp>,
    },
    DeleteSecret {
        client_id: String,
        /// UUID, as `client show` lists them
        secret_id: String,
    },
    /// With which the client signs its webhooks; in force within 2 s
    #[command(subcommand)]
    WebhookSecret(WebhookSecret),
}

#[derive(Args)]
pub(crate) struct Register {
    /// UUID of the partner
    #[arg(long)]
    partner: String,
    /// For people
    #[arg(long)]
    name: String,
    /// Sites (UUID) to which the client is limited
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',')]
    site: Vec<String>,
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',',
          value_parser = ["door:open", "barrier:open", "events:write"])]
    scope: Vec<String>,
    #[arg(long, num_args = 1.., value_delimiter = ',',
          value_parser = ["subject:face", "subject:plate"])]
    permission: Vec<String>,
    /// No secret: the client proves itself by key or certificate alone
    #[arg(long)]
    without_secret: bool,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    pace: Pace,
}

/// How else the client proves itself.
#[derive(Args)]
#[command(group = ArgGroup::new("known_by").args(["certificate_thumbprint", "certificate_subject"]))]
struct Proof {
    /// File of a JWK Set with the client's public keys (private_key_jwt), - for stdin
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// base64url of the SHA-256 of the client's certificate
    #[arg(long, value_name = "X5T")]
    certificate_thumbprint: Option<String>,
    /// RFC 4514 name of the client's certificate, e.g. CN=controller,O=Domofon
    #[arg(long, value_name = "NAME", requires = "certificate_ca")]
    certificate_subject: Option<String>,
    /// PEM of the CA that must have issued it
    #[arg(long, value_name = "FILE", requires = "certificate_subject")]
    certificate_ca: Option<PathBuf>,
}

/// How long tokens live and how fast the client may ask; 0 is the server's default.
#[derive(Args)]
struct Pace {
    /// Seconds that a client-only token lives
    #[arg(long, value_name = "SECONDS")]
    client_lifetime: Option<u32>,
    /// Seconds that a token by face or plate lives
    #[arg(long, value_name = "SECONDS")]
    subject_lifetime: Option<u32>,
    #[arg(long, value_name = "NUMBER")]
    requests_per_second: Option<u32>,
    /// Requests at once
    #[arg(long, value_name = "NUMBER")]
    burst: Option<u32>,
    /// Unknown faces a minute
    #[arg(long, value_name = "NUMBER")]
    misses_per_minute: Option<u32>,
    /// Unknown faces a minute before one device
    #[arg(long, value_name = "NUMBER")]
    device_misses_per_minute: Option<u32>,
}

#[derive(Args)]
pub(crate) struct Update {
    client_id: String,
    #[arg(long)]
    name: Option<String>,
    /// All sites (UUID) from now on
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    site: Vec<String>,
    /// All scopes from now on
    #[arg(long, num_args = 1.., value_delimiter = ',',
          value_parser = ["door:open", "barrier:open", "events:write"])]
    scope: Vec<String>,
    /// All permissions from now on; none for no permission
    #[arg(long, num_args = 1.., value_delimiter = ',',
          value_parser = ["subject:face", "subject:plate", "none"])]
    permission: Vec<String>,
    /// Forget the client's public keys
    #[arg(long, conflicts_with = "jwks")]
    no_jwks: bool,
    /// Forget the client's certificate: its tokens are bound to none
    #[arg(long, conflicts_with = "known_by")]
    no_certificate: bool,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    pace: Pace,
}

impl Proof {
    fn jwks(&self) -> Result<Option<String>, Failure> {
        self.jwks.as_deref().map(input::text).transpose()
    }

    fn certificate(&self) -> Result<Option<ClientCertificate>, Failure> {
        let known_by = match (&self.certificate_thumbprint, &self.certificate_subject) {
            (Some(thumbprint), _) => KnownBy::Thumbprint(thumbprint.clone()),
            (None, Some(subject)) => KnownBy::Issued(IssuedCertificate {
                subject: subject.clone(),
                ca_pem: self
                    .certificate_ca
                    .as_deref()
                    .map(input::text)
                    .transpose()?
                    .unwrap_or_default(),
            }),
            (None, None) => return Ok(None),
        };
        Ok(Some(ClientCertificate {
            known_by: Some(known_by),
        }))
    }
}

impl Pace {
    /// What is given, over what there is.
    fn lifetimes(&self, now: TokenLifetimes) -> Option<TokenLifetimes> {
        let given = self.client_lifetime.is_some() || self.subject_lifetime.is_some();
        given.then(|| TokenLifetimes {
            client_s: self.client_lifetime.unwrap_or(now.client_s),
            subject_s: self.subject_lifetime.unwrap_or(now.subject_s),
        })
    }

    fn limits(&self, now: ClientLimits) -> Option<ClientLimits> {
        let given = [
            self.requests_per_second,
            self.burst,
            self.misses_per_minute,
            self.device_misses_per_minute,
        ];
        given.iter().any(Option::is_some).then(|| ClientLimits {
            requests_per_second: self.requests_per_second.unwrap_or(now.requests_per_second),
            burst: self.burst.unwrap_or(now.burst),
            misses_per_minute: self.misses_per_minute.unwrap_or(now.misses_per_minute),
            device_misses_per_minute: self
                .device_misses_per_minute
                .unwrap_or(now.device_misses_per_minute),
        })
    }
}

pub(super) type Clients = ClientServiceClient<Line>;

impl Client {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut clients = ClientServiceClient::new(session.auth()?);
        let output = &session.output;
        match self {
            Self::Register(register) => register.run(&mut clients, session).await,
            Self::Update(update) => update.run(&mut clients, session).await,
            Self::List(limit) => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListClientsRequest {
                            page_size,
                            page_token,
                        };
                        let reply = clients.list_clients(request).await?.into_inner();
                        Ok((reply.clients, reply.next_page_token))
                    })
                    .await?;
                output.list(&listed)
            }
            Self::Show { client_id } => {
                let client = get(&mut clients, client_id).await?;
                output.one_and(&client, &details(&client))
            }
            Self::Disable { client_id } => set_state(&mut clients, session, client_id, true).await,
            Self::Enable { client_id } => set_state(&mut clients, session, client_id, false).await,
            Self::Delete { client_id } => {
                let request = DeleteClientRequest {
                    client_id: client_id.clone(),
                };
                clients.delete_client(request).await?;
                let sentence = format!("{client_id} is deleted.");
                output.done(json!({"client_id": client_id}), &sentence)
            }
            Self::AddSecret {
                client_id,
                expires,
                others_expire,
            } => {
                let request = AddClientSecretRequest {
                    client_id,
                    expires_at: expires.map(moment::to_proto),
                    others_expire_at: others_expire.map(moment::to_proto),
                };
                let reply = clients.add_client_secret(request).await?.into_inner();
                let secret = format!("secret: {}", reply.client_secret);
                output.one_and(&reply, &[secret, KEEP.into()])
            }
            Self::DeleteSecret {
                client_id,
                secret_id,
            } => {
                let request = DeleteClientSecretRequest {
                    client_id,
                    secret_id,
                };
                let reply = clients.delete_client_secret(request).await?.into_inner();
                output.one(reply.client.as_ref())
            }
            Self::WebhookSecret(secret) => secret.run(&mut clients, session).await,
        }
    }
}

impl Register {
    async fn run(self, clients: &mut Clients, session: &Session) -> Result<(), Failure> {
        let request = RegisterClientRequest {
            jwks: self.proof.jwks()?.unwrap_or_default(),
            certificate: self.proof.certificate()?,
            lifetimes: self.pace.lifetimes(TokenLifetimes::default()),
            limits: self.pace.limits(ClientLimits::default()),
            partner_id: self.partner,
            name: self.name,
            site_ids: self.site,
            scopes: self.scope,
            permissions: self.permission,
            without_secret: self.without_secret,
        };
        let reply = clients.register_client(request).await?.into_inner();
        let mut lines = Vec::new();
        if !reply.client_secret.is_empty() {
            lines = vec![format!("secret: {}", reply.client_secret), KEEP.into()];
        }
        session.output.one_and(&reply, &lines)
    }
}

impl Update {
    async fn run(self, clients: &mut Clients, session: &Session) -> Result<(), Failure> {
        let now = get(clients, self.client_id.clone()).await?;
        let mut client = auth::Client::default();
        let mut paths = Vec::new();
        let mut changes = |path: &str| paths.push(path.to_owned());
        if let Some(name) = self.name {
            client.name = name;
            changes("name");
        }
        if !self.site.is_empty() {
            client.site_ids = self.site;
            changes("site_ids");
        }
        if !self.scope.is_empty() {
            client.scopes = self.scope;
            changes("scopes");
        }
        if !self.permission.is_empty() {
            client.permissions = self.permission;
            client.permissions.retain(|name| name != "none");
            changes("permissions");
        }
        if let Some(jwks) = self.proof.jwks()? {
            client.jwks = jwks;
            changes("jwks");
        } else if self.no_jwks {
            changes("jwks");
        }
        client.certificate = self.proof.certificate()?;
        if client.certificate.is_some() || self.no_certificate {
            changes("certificate");
        }
        client.lifetimes = self.pace.lifetimes(now.lifetimes.unwrap_or_default());
        if client.lifetimes.is_some() {
            changes("lifetimes");
        }
        client.limits = self.pace.limits(now.limits.unwrap_or_default());
        if client.limits.is_some() {
            changes("limits");
        }
        if paths.is_empty() {
            return Err(Failure::Usage("nothing to change was given".into()));
        }
        let request = UpdateClientRequest {
            client_id: self.client_id,
            client: Some(client),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        let reply = clients.update_client(request).await?.into_inner();
        session.output.one(reply.client.as_ref())
    }
}

async fn get(clients: &mut Clients, client_id: String) -> Result<auth::Client, Failure> {
    let request = GetClientRequest { client_id };
    let reply = clients.get_client(request).await?.into_inner();
    reply
        .client
        .ok_or_else(|| Failure::incomplete(auth::Client::MESSAGE))
}

async fn set_state(
    clients: &mut Clients,
    session: &Session,
    client_id: String,
    disabled: bool,
) -> Result<(), Failure> {
    let request = SetClientStateRequest {
        client_id,
        disabled,
    };
    let reply = clients.set_client_state(request).await?.into_inner();
    session.output.one(reply.client.as_ref())
}

/// What the table has no room for.
fn details(client: &auth::Client) -> Vec<String> {
    let mut lines: Vec<String> = client
        .secrets
        .iter()
        .map(|secret| {
            let until = moment::show(secret.expires_at.as_ref());
            let made = moment::show(secret.created_at.as_ref());
            format!("secret {}: made {made}, ends {until}", secret.secret_id)
        })
        .collect();
    lines.extend(client.webhook_secrets.iter().map(|secret| {
        let until = moment::show(secret.expires_at.as_ref());
        let made = moment::show(secret.created_at.as_ref());
        format!(
            "webhook secret {}: made {made}, ends {until}",
            secret.secret_id
        )
    }));
    if !client.jwks.is_empty() {
        lines.push(format!("jwks: {}", client.jwks.replace(['\n', '\r'], " ")));
    }
    match client
        .certificate
        .as_ref()
        .and_then(|c| c.known_by.as_ref())
    {
        Some(KnownBy::Thumbprint(thumbprint)) => {
            lines.push(format!("certificate: x5t#S256 {thumbprint}"));
        }
        Some(KnownBy::Issued(issued)) => {
            lines.push(format!("certificate: {} of its CA", issued.subject));
        }
        None => {}
    }
    let or_default = |value: u32| match value {
        0 => "default".to_owned(),
        value => value.to_string(),
    };
    let lifetimes = client.lifetimes.unwrap_or_default();
    lines.push(format!(
        "token lifetimes, s: client {}, subject {}",
        or_default(lifetimes.client_s),
        or_default(lifetimes.subject_s)
    ));
    let limits = client.limits.unwrap_or_default();
    lines.push(format!(
        "limits: {} requests a second, {} at once, {} unknown faces a minute, {} before one device",
        or_default(limits.requests_per_second),
        or_default(limits.burst),
        or_default(limits.misses_per_minute),
        or_default(limits.device_misses_per_minute)
    ));
    lines
}

impl Row for auth::Client {
    const MESSAGE: &'static str = "propdev.auth.v1.Client";
    const COLUMNS: &'static [&'static str] = &[
        "CLIENT",
        "NAME",
        "PARTNER",
        "SITES",
        "SCOPES",
        "PERMISSIONS",
        "STATE",
        "CREATED",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.client_id.clone(),
            self.name.clone(),
            self.partner_id.clone(),
            or_dash(&self.site_ids.join(",")),
            or_dash(&self.scopes.join(",")),
            or_dash(&self.permissions.join(",")),
            if self.disabled { "disabled" } else { "active" }.into(),
            moment::show(self.created_at.as_ref()),
        ]
    }
}

impl Row for RegisterClientResponse {
    const MESSAGE: &'static str = "propdev.auth.v1.RegisterClientResponse";
    const COLUMNS: &'static [&'static str] = auth::Client::COLUMNS;

    fn cells(&self) -> Vec<String> {
        self.client.as_ref().map(Row::cells).unwrap_or_default()
    }
}

impl Row for AddClientSecretResponse {
    const MESSAGE: &'static str = "propdev.auth.v1.AddClientSecretResponse";
    const COLUMNS: &'static [&'static str] = &["CLIENT", "SECRET ID", "CREATED", "ENDS"];

    fn cells(&self) -> Vec<String> {
        let client = self.client.as_ref().map(|client| client.client_id.clone());
        let secret = self.secret.clone().unwrap_or_default();
        vec![
            client.unwrap_or_default(),
            secret.secret_id,
            moment::show(secret.created_at.as_ref()),
            moment::show(secret.expires_at.as_ref()),
        ]
    }
}
