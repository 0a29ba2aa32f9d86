//! What the edge asks of the services behind it: the seam at which tests put
//! services of their own.

mod gather;
mod opening;
mod webhook;

use async_trait::async_trait;
use gather::TokenRequests;
use mesh::{
    client::{Batcher, MeshChannel},
    server::MAX_MESSAGE,
};
use opening::OpenCalls;
use propdev_proto::{
    access::{
        GetEgressSettingsRequest, GetEgressSettingsResponse, GetOpeningRequest, GetOpeningResponse,
        OpenRequest, OpenResponse, RecordCommandResultsRequest, RecordCommandResultsResponse,
        RecordCredentialOpeningsRequest, RecordCredentialOpeningsResponse,
        event_service_client::EventServiceClient, opening_service_client::OpeningServiceClient,
        partner_service_client::PartnerServiceClient,
    },
    auth::{
        GetKeySetRequest, GetKeySetResponse, IntrospectTokenRequest, IntrospectTokenResponse,
        IssueTokenRequest, IssueTokenResponse, ReportRefusedRequest, RevokeTokenRequest,
        RevokeTokenResponse, token_service_client::TokenServiceClient,
    },
};
use tonic::Status;
use webhook::CredentialOpenings;

#[async_trait]
pub(crate) trait Inside: Send + Sync + 'static {
    async fn issue_token(&self, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status>;
    async fn introspect_token(
        &self,
        request: IntrospectTokenRequest,
    ) -> Result<IntrospectTokenResponse, Status>;
    async fn revoke_token(
        &self,
        request: RevokeTokenRequest,
    ) -> Result<RevokeTokenResponse, Status>;
    async fn report_refused(&self, count: u64) -> Result<(), Status>;
    async fn key_set(&self) -> Result<GetKeySetResponse, Status>;
    async fn open(&self, request: OpenRequest) -> Result<OpenResponse, Status>;
    async fn opening(&self, request: GetOpeningRequest) -> Result<GetOpeningResponse, Status>;
    async fn record_credential_openings(
        &self,
        request: RecordCredentialOpeningsRequest,
    ) -> Result<RecordCredentialOpeningsResponse, Status>;
    async fn record_command_results(
        &self,
        request: RecordCommandResultsRequest,
    ) -> Result<RecordCommandResultsResponse, Status>;
    async fn egress_settings(&self, partner_id: &str) -> Result<GetEgressSettingsResponse, Status>;
}

/// The services themselves, over the mesh.
pub(crate) struct MeshInside {
    tokens: TokenServiceClient<MeshChannel>,
    token_requests: TokenRequests,
    openings: OpeningServiceClient<MeshChannel>,
    open_requests: Batcher<OpenCalls>,
    events: EventServiceClient<MeshChannel>,
    credential_openings: CredentialOpenings,
    partners: PartnerServiceClient<MeshChannel>,
}

impl MeshInside {
    pub(crate) fn new(auth: MeshChannel, access: MeshChannel) -> Self {
        let tokens = TokenServiceClient::new(auth).max_decoding_message_size(MAX_MESSAGE);
        let events = EventServiceClient::new(access.clone()).max_decoding_message_size(MAX_MESSAGE);
        let openings =
            OpeningServiceClient::new(access.clone()).max_decoding_message_size(MAX_MESSAGE);
        let open_calls = OpenCalls::new(openings.clone(), access.clone());
        Self {
            token_requests: TokenRequests::start(tokens.clone()),
            tokens,
            openings,
            open_requests: Batcher::start(open_calls),
            credential_openings: CredentialOpenings::start(events.clone()),
            events,
            partners: PartnerServiceClient::new(access).max_decoding_message_size(MAX_MESSAGE),
        }
    }
}

#[async_trait]
impl Inside for MeshInside {
    async fn issue_token(&self, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        self.token_requests.issue(request).await
    }

    async fn introspect_token(
        &self,
        request: IntrospectTokenRequest,
    ) -> Result<IntrospectTokenResponse, Status> {
        let answer = self.tokens.clone().introspect_token(request).await?;
        Ok(answer.into_inner())
    }

    async fn revoke_token(
        &self,
        request: RevokeTokenRequest,
    ) -> Result<RevokeTokenResponse, Status> {
        Ok(self
            .tokens
            .clone()
            .revoke_token(request)
            .await?
            .into_inner())
    }

    async fn report_refused(&self, count: u64) -> Result<(), Status> {
        let request = ReportRefusedRequest { count };
        self.tokens.clone().report_refused(request).await?;
        Ok(())
    }

    async fn key_set(&self) -> Result<GetKeySetResponse, Status> {
        let answer = self.tokens.clone().get_key_set(GetKeySetRequest {}).await?;
        Ok(answer.into_inner())
    }

    async fn open(&self, request: OpenRequest) -> Result<OpenResponse, Status> {
        self.open_requests.ask(request).await
    }

    async fn opening(&self, request: GetOpeningRequest) -> Result<GetOpeningResponse, Status> {
        Ok(self
            .openings
            .clone()
            .get_opening(request)
            .await?
            .into_inner())
    }

    async fn record_credential_openings(
        &self,
        request: RecordCredentialOpeningsRequest,
    ) -> Result<RecordCredentialOpeningsResponse, Status> {
        self.credential_openings.record(request).await
    }

    async fn record_command_results(
        &self,
        request: RecordCommandResultsRequest,
    ) -> Result<RecordCommandResultsResponse, Status> {
        let answer = self.events.clone().record_command_results(request).await?;
        Ok(answer.into_inner())
    }

    async fn egress_settings(&self, partner_id: &str) -> Result<GetEgressSettingsResponse, Status> {
        let request = GetEgressSettingsRequest {
            partner_id: partner_id.to_owned(),
        };
        Ok(self
            .partners
            .clone()
            .get_egress_settings(request)
            .await?
            .into_inner())
    }
}
