use futures::future::join_all;
use mesh::{error::refusal, trace::as_its_own};
use propdev_proto::auth::{
    ClientCredentials, GetKeySetRequest, GetKeySetResponse, IntrospectTokenRequest,
    IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse, IssueTokenResult,
    IssueTokensRequest, IssueTokensResponse, ReportRefusedRequest, ReportRefusedResponse,
    RevokeTokenRequest, RevokeTokenResponse, client_credentials::Method, issue_token_request,
    issue_token_result, token_service_server::TokenService,
};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::time;
use crate::{
    app::{App, Credentials, Evidence, Face, Issued, Plate, Proof, TokenRequest},
    error::Error,
};

/// Requests in one call.
const MOST: usize = 64;

pub(crate) struct TokenApi {
    app: App,
}

impl TokenApi {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }

    async fn issue(&self, message: IssueTokenRequest) -> Result<IssueTokenResponse, Error> {
        Ok(answer(self.app.issue_token(request(message)?).await?))
    }
}

#[tonic::async_trait]
impl TokenService for TokenApi {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        Ok(Response::new(self.issue(request.into_inner()).await?))
    }

    async fn issue_tokens(
        &self,
        request: Request<IssueTokensRequest>,
    ) -> Result<Response<IssueTokensResponse>, Status> {
        let requests = request.into_inner().requests;
        if !(1..=MOST).contains(&requests.len()) {
            return Err(Error::InvalidRequest("1 to 64 requests make a call").into());
        }
        let results = requests.into_iter().map(|message| async move {
            let (id, parent) = (message.request_id.clone(), message.traceparent.clone());
            as_its_own(&id, &parent, self.issue(message)).await
        });
        let results = join_all(results).await.into_iter().map(|result| {
            let result = match result {
                Ok(issued) => issue_token_result::Result::Issued(issued),
                Err(error) => issue_token_result::Result::Refusal(refusal(&error.into())),
            };
            IssueTokenResult {
                result: Some(result),
            }
        });
        Ok(Response::new(IssueTokensResponse {
            results: results.collect(),
        }))
    }

    async fn introspect_token(
        &self,
        request: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        let message = request.into_inner();
        let token = Zeroizing::new(message.token);
        let credentials = credentials(message.credentials);
        let claims = self.app.introspect(&credentials, &token).await?;
        Ok(Response::new(IntrospectTokenResponse {
            active: claims.is_some(),
            claims: claims.unwrap_or_default(),
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let message = request.into_inner();
        let token = Zeroizing::new(message.token);
        let credentials = credentials(message.credentials);
        self.app
            .revoke(&credentials, &token, message.request_id)
            .await?;
        Ok(Response::new(RevokeTokenResponse {}))
    }

    async fn report_refused(
        &self,
        request: Request<ReportRefusedRequest>,
    ) -> Result<Response<ReportRefusedResponse>, Status> {
        self.app.edge_refused(request.into_inner().count);
        Ok(Response::new(ReportRefusedResponse {}))
    }

    async fn get_key_set(
        &self,
        _: Request<GetKeySetRequest>,
    ) -> Result<Response<GetKeySetResponse>, Status> {
        let (jwks, algorithms) = self.app.jwks().await?;
        Ok(Response::new(GetKeySetResponse { jwks, algorithms }))
    }
}

fn credentials(message: Option<ClientCredentials>) -> Credentials {
    let message = message.unwrap_or_default();
    let proof = match message.method() {
        Method::PrivateKeyJwt => Proof::Assertion(Zeroizing::new(message.client_assertion)),
        Method::Tls => Proof::Certificate,
        // An unspecified method proves nothing: no client has an empty secret.
        Method::ClientSecretBasic | Method::ClientSecretPost | Method::Unspecified => {
            Proof::Secret(Zeroizing::new(message.client_secret))
        }
    };
    Credentials {
        client_id: message.client_id,
        proof,
        chain: message.certificate_chain,
        address: message.address,
    }
}

fn request(message: IssueTokenRequest) -> Result<TokenRequest, Error> {
    Ok(TokenRequest {
        credentials: credentials(message.credentials),
        grant_type: message.grant_type,
        scope: message.scope,
        evidence: message.evidence.map(|evidence| match evidence {
            issue_token_request::Evidence::Face(face) => Evidence::Face(Face {
                model: face.model,
                vector: Zeroizing::new(face.values),
            }),
            issue_token_request::Evidence::Plate(plate) => Evidence::Plate(Plate {
                number: Zeroizing::new(plate.number),
                country: plate.country,
            }),
        }),
        captured_at: time("captured_at", message.captured_at)?,
        device_id: Some(message.device_id).filter(|id| !id.is_empty()),
        resources: message.resources,
        request_id: message.request_id,
    })
}

fn answer(issued: Issued) -> IssueTokenResponse {
    IssueTokenResponse {
        access_token: issued.token.to_string(),
        expires_in: issued.expires_in,
        scope: issued.scope,
    }
}
