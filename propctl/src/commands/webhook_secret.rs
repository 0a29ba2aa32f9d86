use clap::Subcommand;
use propdev_proto::auth::{
    self, RemoveWebhookSecretRequest, RotateWebhookSecretRequest, RotateWebhookSecretResponse,
    SetWebhookSecretRequest, SetWebhookSecretResponse,
};

use super::client::{Clients, KEEP};
use crate::{connection::Session, error::Failure, moment, output::Row};

#[derive(Subcommand)]
pub(crate) enum WebhookSecret {
    /// The first: from now on the client must sign its webhooks
    Set { client_id: String },
    /// Another beside the one there is, so that the client can change over
    Rotate {
        client_id: String,
        /// When the secrets there are shall end: RFC 3339, or a date
        #[arg(long, value_parser = moment::parse_end, value_name = "TIME")]
        others_expire: Option<jiff::Timestamp>,
    },
    /// One, or all: a client without any need not sign
    Remove {
        client_id: String,
        /// UUID, as `client show` lists them
        #[arg(required_unless_present = "all")]
        secret_id: Option<String>,
        #[arg(long, conflicts_with = "secret_id")]
        all: bool,
    },
}

impl WebhookSecret {
    pub(super) async fn run(self, clients: &mut Clients, session: &Session) -> Result<(), Failure> {
        let output = &session.output;
        match self {
            Self::Set { client_id } => {
                let request = SetWebhookSecretRequest { client_id };
                let reply = clients.set_webhook_secret(request).await?.into_inner();
                output.one_and(&reply, &shown(&reply.webhook_secret))
            }
            Self::Rotate {
                client_id,
                others_expire,
            } => {
                let request = RotateWebhookSecretRequest {
                    client_id,
                    others_expire_at: others_expire.map(moment::to_proto),
                };
                let reply = clients.rotate_webhook_secret(request).await?.into_inner();
                output.one_and(&reply, &shown(&reply.webhook_secret))
            }
            Self::Remove {
                client_id,
                secret_id,
                ..
            } => {
                let request = RemoveWebhookSecretRequest {
                    client_id,
                    secret_id: secret_id.unwrap_or_default(),
                };
                let reply = clients.remove_webhook_secret(request).await?.into_inner();
                output.one(reply.client.as_ref())
            }
        }
    }
}

fn shown(secret: &str) -> [String; 2] {
    [format!("secret: {secret}"), KEEP.into()]
}

const COLUMNS: &[&str] = &["CLIENT", "SECRET ID", "CREATED", "ENDS"];

fn cells(client: Option<&auth::Client>, secret: Option<&auth::WebhookSecret>) -> Vec<String> {
    let secret = secret.cloned().unwrap_or_default();
    vec![
        client.map_or_else(String::new, |client| client.client_id.clone()),
        secret.secret_id,
        moment::show(secret.created_at.as_ref()),
        moment::show(secret.expires_at.as_ref()),
    ]
}

impl Row for SetWebhookSecretResponse {
    const MESSAGE: &'static str = "propdev.auth.v1.SetWebhookSecretResponse";
    const COLUMNS: &'static [&'static str] = COLUMNS;

    fn cells(&self) -> Vec<String> {
        cells(self.client.as_ref(), self.secret.as_ref())
    }
}

impl Row for RotateWebhookSecretResponse {
    const MESSAGE: &'static str = "propdev.auth.v1.RotateWebhookSecretResponse";
    const COLUMNS: &'static [&'static str] = COLUMNS;

    fn cells(&self) -> Vec<String> {
        cells(self.client.as_ref(), self.secret.as_ref())
    }
}
