use mesh::clock::from_proto;
use propdev_proto::auth::{
    GetKeySetRequest, GetKeySetResponse, IssueTokenRequest, IssueTokenResponse,
    issue_token_request, token_service_server::TokenService,
};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::{
    app::{App, Evidence, Face, Plate, TokenRequest},
    error::Error,
};

pub(crate) struct TokenApi {
    app: App,
}

impl TokenApi {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl TokenService for TokenApi {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let request = request.into_inner();
        let credentials = request.credentials.unwrap_or_default();
        let captured_at = request
            .captured_at
            .map(|time| from_proto(time.seconds, time.nanos))
            .transpose()
            .map_err(|_| Error::InvalidRequest("captured_at is out of range"))?;
        let issued = self
            .app
            .issue_token(TokenRequest {
                client_id: credentials.client_id,
                client_secret: Zeroizing::new(credentials.client_secret),
                grant_type: request.grant_type,
                scope: request.scope,
                evidence: request.evidence.map(|evidence| match evidence {
                    issue_token_request::Evidence::Face(face) => Evidence::Face(Face {
                        model: face.model,
                        vector: Zeroizing::new(face.values),
                    }),
                    issue_token_request::Evidence::Plate(plate) => Evidence::Plate(Plate {
                        number: Zeroizing::new(plate.number),
                        country: plate.country,
                    }),
                }),
                captured_at,
                device_id: Some(request.device_id).filter(|id| !id.is_empty()),
                resources: request.resources,
            })
            .await?;
        Ok(Response::new(IssueTokenResponse {
            access_token: issued.token.to_string(),
            expires_in: issued.expires_in,
            scope: issued.scope,
        }))
    }

    async fn get_key_set(
        &self,
        _: Request<GetKeySetRequest>,
    ) -> Result<Response<GetKeySetResponse>, Status> {
        Ok(Response::new(GetKeySetResponse {
            jwks: self.app.jwks(),
        }))
    }
}
