use propdev_proto::auth::{
    AddClientSecretRequest, AddClientSecretResponse, DeleteClientRequest, DeleteClientResponse,
    DeleteClientSecretRequest, DeleteClientSecretResponse, GetClientRequest, GetClientResponse,
    ListClientsRequest, ListClientsResponse, RegisterClientRequest, RegisterClientResponse,
    RemoveWebhookSecretRequest, RemoveWebhookSecretResponse, RotateWebhookSecretRequest,
    RotateWebhookSecretResponse, SetClientStateRequest, SetClientStateResponse,
    SetWebhookSecretRequest, SetWebhookSecretResponse, UpdateClientRequest, UpdateClientResponse,
    client_service_server::ClientService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{actor, client_message as message, time};
use crate::{app::App, domain::client::Settings, error::Error};

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
        let actor = actor(&request);
        let request = request.into_inner();
        let partner = uuid("partner_id", &request.partner_id)?;
        let settings = Settings {
            name: request.name,
            sites: message::sites(&request.site_ids)?,
            scopes: message::scopes(&request.scopes)?,
            permissions: message::permissions(&request.permissions)?,
            keys: message::keys(&request.jwks)?,
            certificate: message::certificate(request.certificate)?,
            lifetimes: message::lifetimes(request.lifetimes),
            limits: message::limits(request.limits),
        };
        let with_secret = !request.without_secret;
        let (client, secret) = self
            .app
            .register_client(partner, settings, with_secret, actor)
            .await?;
        Ok(Response::new(RegisterClientResponse {
            client: Some(message::client(client)),
            client_secret: secret.map_or_else(String::new, |secret| secret.to_string()),
        }))
    }

    async fn get_client(
        &self,
        request: Request<GetClientRequest>,
    ) -> Result<Response<GetClientResponse>, Status> {
        let client = self.app.client(&request.into_inner().client_id).await?;
        Ok(Response::new(GetClientResponse {
            client: Some(message::client(client)),
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
            clients: clients.into_iter().map(message::client).collect(),
            next_page_token,
        }))
    }

    async fn update_client(
        &self,
        request: Request<UpdateClientRequest>,
    ) -> Result<Response<UpdateClientResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let new = request.client.unwrap_or_default();
        let paths = request.update_mask.unwrap_or_default().paths;
        let change = move |settings: &mut Settings| message::change(settings, new, &paths);
        let client = self
            .app
            .update_client(request.client_id, actor, change)
            .await?;
        Ok(Response::new(UpdateClientResponse {
            client: Some(message::client(client)),
        }))
    }

    async fn set_client_state(
        &self,
        request: Request<SetClientStateRequest>,
    ) -> Result<Response<SetClientStateResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let client = self
            .app
            .set_client_state(request.client_id, request.disabled, actor)
            .await?;
        Ok(Response::new(SetClientStateResponse {
            client: Some(message::client(client)),
        }))
    }

    async fn delete_client(
        &self,
        request: Request<DeleteClientRequest>,
    ) -> Result<Response<DeleteClientResponse>, Status> {
        let actor = actor(&request);
        let id = request.into_inner().client_id;
        self.app.delete_client(id, actor).await?;
        Ok(Response::new(DeleteClientResponse {}))
    }

    async fn add_client_secret(
        &self,
        request: Request<AddClientSecretRequest>,
    ) -> Result<Response<AddClientSecretResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let expires_at = time("expires_at", request.expires_at)?;
        let others = time("others_expire_at", request.others_expire_at)?;
        let (client, secret, value) = self
            .app
            .add_client_secret(request.client_id, expires_at, others, actor)
            .await?;
        Ok(Response::new(AddClientSecretResponse {
            client: Some(message::client(client)),
            secret: Some(message::secret(&secret)),
            client_secret: value.to_string(),
        }))
    }

    async fn delete_client_secret(
        &self,
        request: Request<DeleteClientSecretRequest>,
    ) -> Result<Response<DeleteClientSecretResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let secret = uuid("secret_id", &request.secret_id)?;
        let client = self
            .app
            .delete_client_secret(request.client_id, secret, actor)
            .await?;
        Ok(Response::new(DeleteClientSecretResponse {
            client: Some(message::client(client)),
        }))
    }

    async fn set_webhook_secret(
        &self,
        request: Request<SetWebhookSecretRequest>,
    ) -> Result<Response<SetWebhookSecretResponse>, Status> {
        let actor = actor(&request);
        let id = request.into_inner().client_id;
        let (client, secret, value) = self.app.set_webhook_secret(id, actor).await?;
        Ok(Response::new(SetWebhookSecretResponse {
            client: Some(message::client(client)),
            secret: Some(message::webhook_secret(&secret)),
            webhook_secret: value.to_string(),
        }))
    }

    async fn rotate_webhook_secret(
        &self,
        request: Request<RotateWebhookSecretRequest>,
    ) -> Result<Response<RotateWebhookSecretResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let others = time("others_expire_at", request.others_expire_at)?;
        let (client, secret, value) = self
            .app
            .rotate_webhook_secret(request.client_id, others, actor)
            .await?;
        Ok(Response::new(RotateWebhookSecretResponse {
            client: Some(message::client(client)),
            secret: Some(message::webhook_secret(&secret)),
            webhook_secret: value.to_string(),
        }))
    }

    async fn remove_webhook_secret(
        &self,
        request: Request<RemoveWebhookSecretRequest>,
    ) -> Result<Response<RemoveWebhookSecretResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let secret = match request.secret_id.as_str() {
            "" => None,
            id => Some(uuid("secret_id", id)?),
        };
        let client = self
            .app
            .remove_webhook_secrets(request.client_id, secret, actor)
            .await?;
        Ok(Response::new(RemoveWebhookSecretResponse {
            client: Some(message::client(client)),
        }))
    }
}

fn uuid(field: &'static str, text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| Error::InvalidField {
        field,
        detail: "is not a UUID",
    })
}
