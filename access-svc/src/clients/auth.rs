use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
};

use jsonwebtoken::{Algorithm, DecodingKey};
use mesh::client::MeshChannel;
use propdev_proto::auth::{
    ClientLimits as LimitsMessage, GetVerificationStateRequest, VerificationKey as KeyMessage,
    verification_service_client::VerificationServiceClient,
};
use uuid::Uuid;

use super::unexpected;
use crate::{domain::limits::ClientLimits, error::Error};

const SERVICE: &str = "auth-svc";

#[derive(Clone)]
pub(crate) struct Auth {
    client: VerificationServiceClient<MeshChannel>,
}

/// What a verifier of tokens knows at one moment.
#[derive(Default)]
pub(crate) struct VerificationState {
    pub(crate) version: i64,
    pub(crate) keys: HashMap<String, VerificationKey>,
    pub(crate) clients: HashMap<String, VerifiedClient>,
    pub(crate) revoked: HashSet<String>,
}

pub(crate) struct VerificationKey {
    /// The one algorithm that this key is used with (RFC 8725 section 3.1).
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

#[derive(Clone)]
pub(crate) struct VerifiedClient {
    pub(crate) partner: Uuid,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) scopes: Vec<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) disabled: bool,
    pub(crate) limits: ClientLimits,
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
                limits: limits(client.limits.unwrap_or_default()),
            };
            clients.insert(client.client_id, verified);
        }
        Ok(Some(VerificationState {
            version: response.version,
            keys: state
                .keys
                .into_iter()
                .filter_map(|key| Some((key.kid.clone(), verification_key(&key)?)))
                .collect(),
            clients,
            revoked: state.revoked_jtis.into_iter().collect(),
        }))
    }
}

/// None for an algorithm this program does not know.
fn verification_key(message: &KeyMessage) -> Option<VerificationKey> {
    let bytes = &message.public_key;
    let (algorithm, key) = match message.algorithm.as_str() {
        "ES256" => (Algorithm::ES256, DecodingKey::from_ec_der(bytes)),
        "EdDSA" => (Algorithm::EdDSA, DecodingKey::from_ed_der(bytes)),
        _ => return None,
    };
    Some(VerificationKey { algorithm, key })
}

/// An auth-svc that tells no limits is older than they are: the least then.
fn limits(message: LimitsMessage) -> ClientLimits {
    let number = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
    ClientLimits {
        requests_per_second: number(message.requests_per_second),
        burst: number(message.burst),
        misses_per_minute: number(message.misses_per_minute),
        device_misses_per_minute: number(message.device_misses_per_minute),
    }
}
