//! What the simulator remembers.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use crate::{behaviour::Behaviour, config::PartnerConfig};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceKind {
    Door,
    Barrier,
}

/// A command as it was received.
#[derive(Clone, Serialize)]
pub(crate) struct Command {
    pub(crate) partner: String,
    pub(crate) device_id: String,
    pub(crate) device_kind: DeviceKind,
    pub(crate) command_id: Option<String>,
    pub(crate) opening_id: Option<String>,
    pub(crate) issued_at: Option<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) received_at: Timestamp,
    pub(crate) late: bool,
    pub(crate) duplicate: bool,
    /// What the gateway answered; 0 where it never did.
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: HashMap<String, String>,
}

/// A request for a token as it was received, without its credentials.
#[derive(Clone, Serialize)]
pub(crate) struct TokenRequest {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// Headers that may be shown: all but the credentials.
pub(crate) fn shown(headers: &HeaderMap) -> HashMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| *name != header::AUTHORIZATION)
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect()
}

/// A bearer token of one of the mesh's clients.
pub(crate) struct Token {
    pub(crate) partner: String,
    pub(crate) kind: DeviceKind,
    pub(crate) expires_at: Timestamp,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) partners: HashMap<String, PartnerConfig>,
    pub(crate) behaviour: Behaviour,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) commands: Vec<Command>,
    /// Ids of those that were taken: a partner looks none up by reading them all.
    pub(crate) accepted: HashSet<String>,
    pub(crate) token_requests: Vec<TokenRequest>,
    pub(crate) tokens_issued: u64,
}

pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn new(partners: Vec<PartnerConfig>) -> Self {
        let partners = partners.into_iter().map(|p| (p.name.clone(), p)).collect();
        Self(Mutex::new(State {
            partners,
            ..State::default()
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Which partner's client this is, and for which devices.
    pub(crate) fn client(&self, id: &str, secret: &str) -> Option<(String, DeviceKind)> {
        self.partners.values().find_map(|p| {
            let is = |known: &str, its: &secrecy::SecretString| {
                known == id && its.expose_secret() == secret
            };
            if is(&p.intercom_client_id, &p.intercom_client_secret) {
                Some((p.name.clone(), DeviceKind::Door))
            } else if is(&p.barrier_client_id, &p.barrier_client_secret) {
                Some((p.name.clone(), DeviceKind::Barrier))
            } else {
                None
            }
        })
    }

    pub(crate) fn owns(&self, partner: &str, kind: DeviceKind, device: &str) -> bool {
        self.partners.get(partner).is_some_and(|p| {
            let devices = match kind {
                DeviceKind::Door => &p.doors,
                DeviceKind::Barrier => &p.barriers,
            };
            devices.iter().any(|id| id == device)
        })
    }
}
