use propdev_proto::auth::{
    GetVerificationStateRequest, GetVerificationStateResponse, VerificationClient, VerificationKey,
    VerificationState, verification_service_server::VerificationService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{app::App, domain::client::Client};

pub(crate) struct VerificationApi {
    app: App,
}

impl VerificationApi {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl VerificationService for VerificationApi {
    async fn get_verification_state(
        &self,
        request: Request<GetVerificationStateRequest>,
    ) -> Result<Response<GetVerificationStateResponse>, Status> {
        let (version, clients) = self
            .app
            .verification_state(request.into_inner().known_version)
            .await?;
        let state = clients.map(|clients| VerificationState {
            keys: self
                .app
                .verification_keys()
                .into_iter()
                .map(|(kid, public_key)| VerificationKey {
                    kid,
                    algorithm: "ES256".into(),
                    public_key,
                })
                .collect(),
            clients: clients.into_iter().map(client).collect(),
            revoked_jtis: vec![],
        });
        Ok(Response::new(GetVerificationStateResponse {
            version,
            state,
        }))
    }
}

fn client(client: Client) -> VerificationClient {
    VerificationClient {
        client_id: client.id,
        partner_id: client.partner.to_string(),
        site_ids: client.sites.iter().map(Uuid::to_string).collect(),
        scopes: client.scopes.iter().map(|s| s.as_str().into()).collect(),
        permissions: client
            .permissions
            .iter()
            .map(|p| p.as_str().into())
            .collect(),
        disabled: client.disabled,
    }
}
