use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use mesh::{client::MeshChannel, clock::from_proto};
use propdev_proto::auth::{
    ClientLimits as LimitsMessage, GetVerificationStateRequest, Revocation as RevocationMessage,
    VerificationKey as KeyMessage, VerificationState as StateMessage, WebhookSigningSecret,
    verification_service_client::VerificationServiceClient,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::unexpected;
use crate::{
    domain::{limits::ClientLimits, signature::SigningSecret},
    error::Error,
};

const SERVICE: &str = "auth-svc";

/// Clients with a thousand sites each go past what a message usually may hold.
const MAX_STATE: usize = 64 * 1024 * 1024;

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
}

/// What auth-svc tells a verifier that knows some of it already.
pub(crate) struct VerificationUpdate {
    /// None when the version known is current.
    pub(crate) state: Option<VerificationState>,
    pub(crate) revocations: Vec<Revocation>,
    /// Number of the last revocation known after these.
    pub(crate) last_revocation: i64,
    /// More are to be asked for at once.
    pub(crate) more: bool,
}

/// A token that is void before it expires.
pub(crate) struct Revocation {
    pub(crate) jti: Uuid,
    pub(crate) expires_at: Timestamp,
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
    pub(crate) signing_secrets: Arc<[SigningSecret]>,
}

impl Auth {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self {
            client: VerificationServiceClient::new(channel).max_decoding_message_size(MAX_STATE),
        }
    }

    pub(crate) async fn verification_update(
        &self,
        known_version: i64,
        known_revocation: i64,
    ) -> Result<VerificationUpdate, Error> {
        let request = GetVerificationStateRequest {
            known_version,
            known_revocation,
        };
        let response = self
            .client
            .clone()
            .get_verification_state(request)
            .await
            .map_err(|status| unexpected(SERVICE, &status))?
            .into_inner();
        let version = response.version;
        let revocations: Option<Vec<Revocation>> =
            response.revocations.iter().map(revocation).collect();
        Ok(VerificationUpdate {
            state: response
                .state
                .map(|state| verification_state(version, state))
                .transpose()?,
            revocations: revocations.ok_or_else(malformed)?,
            last_revocation: response.last_revocation,
            more: response.more_revocations,
        })
    }
}

fn malformed() -> Error {
    Error::UnexpectedAnswer {
        service: SERVICE,
        code: tonic::Code::Ok,
    }
}

fn verification_state(version: i64, state: StateMessage) -> Result<VerificationState, Error> {
    let uuid = |id: &String| Uuid::try_parse(id).map_err(|_| malformed());
    let mut clients = HashMap::with_capacity(state.clients.len());
    for client in state.clients {
        let verified = VerifiedClient {
            partner: uuid(&client.partner_id)?,
            sites: client.site_ids.iter().map(uuid).collect::<Result<_, _>>()?,
            scopes: client.scopes,
            permissions: client.permissions,
            disabled: client.disabled,
            limits: limits(client.limits.unwrap_or_default()),
            signing_secrets: client
                .webhook_secrets
                .into_iter()
                .map(signing_secret)
                .collect::<Option<_>>()
                .ok_or_else(malformed)?,
        };
        clients.insert(client.client_id, verified);
    }
    Ok(VerificationState {
        version,
        keys: state
            .keys
            .into_iter()
            .filter_map(|key| Some((key.kid.clone(), verification_key(&key)?)))
            .collect(),
        clients,
    })
}

fn revocation(message: &RevocationMessage) -> Option<Revocation> {
    let end = message.expires_at.as_ref()?;
    Some(Revocation {
        jti: Uuid::from_slice(&message.jti).ok()?,
        expires_at: from_proto(end.seconds, end.nanos).ok()?,
    })
}

/// None for one that anybody could sign with.
fn signing_secret(message: WebhookSigningSecret) -> Option<SigningSecret> {
    let value = Zeroizing::new(message.secret);
    let expires_at = match message.expires_at {
        Some(end) => Some(from_proto(end.seconds, end.nanos).ok()?),
        None => None,
    };
    (!value.is_empty()).then_some(SigningSecret { value, expires_at })
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
