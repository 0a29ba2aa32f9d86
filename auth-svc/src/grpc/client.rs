use propdev_proto::auth::{
    Client as ClientMessage, ListClientsRequest, ListClientsResponse, RegisterClientRequest,
    RegisterClientResponse, SetClientStateRequest, SetClientStateResponse,
    client_service_server::ClientService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        client::{Client, Registration},
        scope::{Permission, Scope},
    },
    error::Error,
};

pub(crate) struct ClientApi {
    app: App,
}

impl ClientApi {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl ClientService for ClientApi {
    async fn register_client(
        &self,
        request: Request<RegisterClientRequest>,
    ) -> Result<Response<RegisterClientResponse>, Status> {
        let request = request.into_inner();
        let (client, secret) = self
            .app
            .register_client(Registration {
                partner: Uuid::try_parse(&request.partner_id)
                    .map_err(|_| fault("partner_id", "is not a UUID"))?,
                name: request.name,
                sites: parse_all(
                    "site_ids",
                    "holds what is not a UUID",
                    &request.site_ids,
                    |id| Uuid::try_parse(id).ok(),
                )?,
                scopes: parse_all(
                    "scopes",
                    "holds an unknown scope",
                    &request.scopes,
                    Scope::parse,
                )?,
                permissions: parse_all(
                    "permissions",
                    "holds an unknown permission",
                    &request.permissions,
                    Permission::parse,
                )?,
            })
            .await?;
        Ok(Response::new(RegisterClientResponse {
            client: Some(message(client)),
            client_secret: secret.to_string(),
        }))
    }

    async fn list_clients(
        &self,
        request: Request<ListClientsRequest>,
    ) -> Result<Response<ListClientsResponse>, Status> {
        let request = request.into_inner();
        let size = match request.page_size {
            0 => 100,
            size => u64::from(size.min(1_000)),
        };
        let after = Some(request.page_token).filter(|token| !token.is_empty());
        // One more than asked for tells whether there is a next page.
        let mut clients = self.app.list_clients(after, size + 1).await?;
        let more = clients.len() as u64 > size;
        clients.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let next_page_token = clients
            .last()
            .filter(|_| more)
            .map_or_else(String::new, |client| client.id.clone());
        Ok(Response::new(ListClientsResponse {
            clients: clients.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn set_client_state(
        &self,
        request: Request<SetClientStateRequest>,
    ) -> Result<Response<SetClientStateResponse>, Status> {
        let request = request.into_inner();
        let client = self
            .app
            .set_client_state(request.client_id, request.disabled)
            .await?;
        Ok(Response::new(SetClientStateResponse {
            client: Some(message(client)),
        }))
    }
}

fn fault(field: &'static str, detail: &'static str) -> Error {
    Error::InvalidField { field, detail }
}

fn parse_all<T: PartialEq>(
    field: &'static str,
    detail: &'static str,
    texts: &[String],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        let value = parse(text).ok_or_else(|| fault(field, detail))?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

fn message(client: Client) -> ClientMessage {
    ClientMessage {
        client_id: client.id,
        partner_id: client.partner.to_string(),
        name: client.name,
        site_ids: client.sites.iter().map(Uuid::to_string).collect(),
        scopes: client.scopes.iter().map(|s| s.as_str().into()).collect(),
        permissions: client
            .permissions
            .iter()
            .map(|p| p.as_str().into())
            .collect(),
        disabled: client.disabled,
        created_at: Some(prost_types::Timestamp {
            seconds: client.created_at.as_second(),
            nanos: client.created_at.subsec_nanosecond(),
        }),
    }
}
