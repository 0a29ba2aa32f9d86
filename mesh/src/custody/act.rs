//! What was done to a store's keys and backups, for its custodian to tell.

use jiff::Timestamp;

use super::{Custody, CustodyError};
use crate::{Caller, context::CallContext};

pub(super) const KEYS_ROTATED: &str = "keys_rotated";
pub(super) const BACKUP_CREATED: &str = "backup_created";
pub(super) const BACKUP_RESTORED: &str = "backup_restored";

/// An administrative act that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub code: &'static str,
    /// The epoch that is current now, or the backup's id.
    pub subject: String,
    /// Who called; the service where nobody did.
    pub actor: String,
    pub request: Option<String>,
    pub at: Timestamp,
}

impl Act {
    /// Of a call; without one it is the service's own doing.
    pub fn of(
        call: Option<CallContext>,
        service: &str,
        code: &'static str,
        subject: String,
        at: Timestamp,
    ) -> Self {
        let (caller, request) = match call {
            Some(call) => (call.caller, Some(call.request_id)),
            None => (None, None),
        };
        let ourselves = || Caller::Service(service.to_owned());
        Self {
            code,
            subject,
            actor: caller.unwrap_or_else(ourselves).to_string(),
            request,
            at,
        }
    }
}

impl Custody {
    /// The call is what the work was asked by: it goes on without it.
    pub(super) async fn tell(
        &self,
        call: Option<CallContext>,
        code: &'static str,
        subject: String,
    ) -> Result<(), CustodyError> {
        let inner = &self.inner;
        let act = Act::of(
            call,
            &inner.identity.service,
            code,
            subject,
            inner.clock.now(),
        );
        inner.custodian.acted(act).await
    }
}
