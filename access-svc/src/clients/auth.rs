use std::collections::{HashMap, HashSet};

use jsonwebtoken::DecodingKey;
use mesh::client::MeshChannel;
use propdev_proto::auth::{
    GetVerificationStateRequest, verification_service_client::VerificationServiceClient,
};
use uuid::Uuid;

use super::unexpected;
use crate::error::Error;

const SERVICE: &str = "auth-svc";

#[derive(Clone)]
pub(crate) struct Auth {
    client: VerificationServiceClient<MeshChannel>,
}

/// What a verifier of tokens knows at one moment.
#[derive(Default)]
pub(crate) struct VerificationState {
    pub(crate) version: i64,
    /// ES256 keys by `kid`.
    pub(crate) keys: HashMap<String, DecodingKey>,
    pub(crate) clients: HashMap<String, VerifiedClient>,
    pub(crate) revoked: HashSet<String>,
}

#[derive(Clone)]
pub(crate) struct VerifiedClient {
    pub(crate) partner: Uuid,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) scopes: Vec<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) disabled: bool,
}

impl Auth {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self {
            client: VerificationServiceClient::new(channel),
        }
    }

    /// None when the version known is current.
    pub(crate) async fn verification_state(
        &self,
        known_version: i64,
    ) -> Result<Option<VerificationState>, Error> {
        let response = self
            .client
            .clone()
            .get_verification_state(GetVerificationStateRequest { known_version })
            .await
            .map_err(|status| unexpected(SERVICE, &status))?
            .into_inner();
        let Some(state) = response.state else {
            return Ok(None);
        };
        let malformed = |_| Error::UnexpectedAnswer {
            service: SERVICE,
            code: tonic::Code::Ok,
        };
        let mut clients = HashMap::with_capacity(state.clients.len());
        for client in state.clients {
            let verified = VerifiedClient {
                partner: Uuid::try_parse(&client.partner_id).map_err(malformed)?,
                sites: client
                    .site_ids
                    .iter()
                    .map(|id| Uuid::try_parse(id).map_err(malformed))
                    .collect::<Result<_, _>>()?,
                scopes: client.scopes,
                permissions: client.permissions,
                disabled: client.disabled,
            };
            clients.insert(client.client_id, verified);
        }
        Ok(Some(VerificationState {
            version: response.version,
            keys: state
                .keys
                .into_iter()
                .filter(|key| key.algorithm == "ES256")
                .map(|key| (key.kid, DecodingKey::from_ec_der(&key.public_key)))
                .collect(),
            clients,
            revoked: state.revoked_jtis.into_iter().collect(),
        }))
    }
}
