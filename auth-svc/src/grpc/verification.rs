use propdev_proto::auth::{
    ClientLimits, GetVerificationStateRequest, GetVerificationStateResponse, Revocation,
    VerificationClient, VerificationKey, VerificationState, WebhookSigningSecret,
    verification_service_server::VerificationService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::to_proto;
use crate::{
    app::{App, Known, Snapshot},
    domain::{client::Client, webhook_secret::SigningSecret},
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
        let request = request.into_inner();
        let known = Known {
            version: request.known_version,
            revocation: request.known_revocation,
        };
        let told = self.app.verification_state(&known).await?;
        let revocations = told.revocations.revocations.iter().map(|one| Revocation {
            jti: one.jti.as_bytes().to_vec(),
            expires_at: Some(to_proto(one.expires_at)),
        });
        Ok(Response::new(GetVerificationStateResponse {
            version: told.version,
            state: told.state.map(|snapshot| state(&snapshot)),
            revocations: revocations.collect(),
            last_revocation: told.revocations.last,
            more_revocations: told.revocations.more,
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
        clients: snapshot
            .clients()
            .map(|c| client(c, snapshot.signing_secrets(&c.id)))
            .collect(),
    }
}

fn client(client: &Client, signing_secrets: &[SigningSecret]) -> VerificationClient {
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
        webhook_secrets: signing_secrets
            .iter()
            .map(|secret| WebhookSigningSecret {
                secret: secret.value.to_vec(),
                expires_at: secret.expires_at.map(to_proto),
            })
            .collect(),
    }
}
