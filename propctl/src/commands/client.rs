use clap::{Args, Subcommand};
use propdev_proto::auth::{
    self, ListClientsRequest, RegisterClientRequest, RegisterClientResponse, SetClientStateRequest,
    client_service_client::ClientServiceClient,
};

use crate::{
    connection::Session,
    error::Failure,
    moment,
    output::{Row, or_dash},
    pages::Limit,
};

#[derive(Subcommand)]
pub(crate) enum Client {
    /// Register a client; its secret is shown this once
    Register(Register),
    List(Limit),
    /// Refuse the client everything, within 2 s
    Disable {
        client_id: String,
    },
    Enable {
        client_id: String,
    },
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
}

impl Client {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut clients = ClientServiceClient::new(session.auth()?);
        let (client_id, disabled) = match self {
            Self::Register(register) => {
                let request = RegisterClientRequest {
                    partner_id: register.partner,
                    name: register.name,
                    site_ids: register.site,
                    scopes: register.scope,
                    permissions: register.permission,
                };
                let reply = clients.register_client(request).await?.into_inner();
                let lines = [
                    format!("secret: {}", reply.client_secret),
                    "Keep the secret now: it is shown this once and cannot be read again.".into(),
                ];
                return session.output.one_and(&reply, &lines);
            }
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
                return session.output.list(&listed);
            }
            Self::Disable { client_id } => (client_id, true),
            Self::Enable { client_id } => (client_id, false),
        };
        let request = SetClientStateRequest {
            client_id,
            disabled,
        };
        let reply = clients.set_client_state(request).await?.into_inner();
        session.output.one(reply.client.as_ref())
    }
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
