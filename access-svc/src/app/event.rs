//! Events at the partner's: openings by key and fob, and confirmations.

use mesh::{clock::to_micros, context::CallContext};
use uuid::Uuid;

use super::{
    App,
    recording::{Call, Recorded},
};
use crate::{
    domain::{
        event::{CommandResult, CredentialKind, CredentialOpening, Event},
        signature::{self, Signed},
        token::{Bearer, Presented},
    },
    error::Error,
    store::Page,
};

const SCOPE: &str = "events:write";

impl App {
    /// Whether this token may tell events, and tells these; asked before a
    /// call's faults are told.
    pub(crate) async fn event_writer(
        &self,
        presented: &Presented,
        signed: Option<&Signed>,
    ) -> Result<Bearer, Error> {
        let bearer = self.admit(presented).await?;
        if bearer.subject.is_some() || !bearer.has_scope(SCOPE) {
            return Err(Error::InsufficientScope);
        }
        self.check_in_use().await?;
        let now = self.parts.clock.now();
        if !signature::is_good(&bearer.signing_secrets, signed, now) {
            tracing::info!(client_id = %bearer.client_id, signed = signed.is_some(), "a webhook's signature was refused");
            return Err(Error::InvalidSignature);
        }
        Ok(bearer)
    }

    pub(crate) async fn record_credential_openings(
        &self,
        bearer: &Bearer,
        kind: CredentialKind,
        told: Vec<CredentialOpening>,
    ) -> Result<Recorded, Error> {
        let call = Call {
            partner: bearer.partner,
            sites: bearer.sites.clone(),
            kind,
            events: told,
            context: CallContext::current(),
        };
        self.parts.recorder.record(call).await
    }

    pub(crate) async fn record_command_results(
        &self,
        bearer: &Bearer,
        results: Vec<CommandResult>,
    ) -> Result<Recorded, Error> {
        let total = results.len();
        let new = self
            .parts
            .store
            .confirm_commands(bearer.partner, results, to_micros(self.parts.clock.now()))
            .await?;
        Ok(Recorded::of(total, new))
    }

    pub(crate) async fn list_events(
        &self,
        partner: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Event>, Error> {
        self.parts.store.list_events(partner, page).await
    }
}
