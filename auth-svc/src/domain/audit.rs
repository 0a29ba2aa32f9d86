//! What auth-svc tells the audit log: codes and pseudonyms, never a secret.

use jiff::Timestamp;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    TokenIssued,
    TokenRefused,
    TokenRevoked,
    AuthenticationFailed,
    RateLimited,
    ClientChanged,
    SigningKeyChanged,
    Custody,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) client_id: Option<String>,
    pub(crate) partner: Option<Uuid>,
    pub(crate) code: &'static str,
    /// What the code keeps from the client.
    pub(crate) cause: &'static str,
    pub(crate) means: &'static str,
    pub(crate) device_id: Option<String>,
    pub(crate) jti: Option<Uuid>,
    pub(crate) audit_pseudonym: Option<String>,
    pub(crate) count: u32,
    pub(crate) actor: Option<String>,
    pub(crate) request_id: String,
    /// Of custody: a key epoch or a backup.
    pub(crate) subject: Option<String>,
}

impl Event {
    pub(crate) fn new(kind: Kind, at: Timestamp) -> Self {
        Self {
            id: Uuid::now_v7(),
            at,
            kind,
            client_id: None,
            partner: None,
            code: "",
            cause: "",
            means: "",
            device_id: None,
            jti: None,
            audit_pseudonym: None,
            count: 1,
            actor: None,
            request_id: String::new(),
            subject: None,
        }
    }
}
