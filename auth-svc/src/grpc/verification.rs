use propdev_proto::auth::{
    ClientLimits, GetVerificationStateRequest, GetVerificationStateResponse, VerificationClient,
    VerificationKey, VerificationState, verification_service_server::VerificationService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    app::{App, Snapshot},
    domain::client::Client,
};

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
        let known = request.into_inner().known_version;
        let (version, snapshot) = self.app.verification_state(known).await?;
        Ok(Response::new(GetVerificationStateResponse {
            version,
            state: snapshot.map(|snapshot| state(&snapshot)),
        }))
    }
}

/// Every key there is, past ones too: whether a token is in time is the
/// verifier's own to see.
fn state(snapshot: &Snapshot) -> VerificationState {
    VerificationState {
        keys: snapshot
            .times()
            .iter()
            .filter_map(|times| snapshot.key(times.generation))
            .map(|stored| VerificationKey {
                kid: stored.key.kid().into(),
                algorithm: stored.key.algorithm_name().into(),
                public_key: stored.key.public().to_vec(),
            })
            .collect(),
        clients: snapshot.clients().map(|c| client(c)).collect(),
        revoked_jtis: snapshot.revoked().iter().map(Uuid::to_string).collect(),
    }
}

fn client(client: &Client) -> VerificationClient {
    let settings = &client.settings;
    let limits = settings.limits.in_force();
    VerificationClient {
        client_id: client.id.clone(),
        partner_id: client.partner.to_string(),
        site_ids: settings.sites.iter().map(Uuid::to_string).collect(),
        scopes: settings.scopes.iter().map(|s| s.as_str().into()).collect(),
        permissions: settings
            .permissions
            .iter()
            .map(|p| p.as_str().into())
            .collect(),
        disabled: client.disabled,
        limits: Some(ClientLimits {
            requests_per_second: limits.requests_per_second.get(),
            burst: limits.burst.get(),
            misses_per_minute: limits.misses_per_minute.get(),
            device_misses_per_minute: limits.device_misses_per_minute.get(),
        }),
    }
}
