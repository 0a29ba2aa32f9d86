//! From the decision to the command's outcome.

use mesh::{context::CallContext, fault};
use tracing::Instrument;
use uuid::Uuid;

use super::Opened;
use crate::{
    app::App,
    domain::opening::{Command, Opening},
    error::Error,
    store::{Commit, Committed},
};

/// What became of a decision.
pub(super) enum Settled {
    Opened(Box<Opened>),
    /// Another request with this idempotency key was first.
    SameKey,
    /// The token or the evidence was used up by this opening.
    Used(Uuid),
}

impl App {
    /// Stores the decision and sends what was granted. It runs on even if the
    /// caller goes away: what was stored is sent, and what was sent is recorded.
    pub(super) async fn settle(&self, commit: Commit) -> Result<Settled, Error> {
        let app = self.clone();
        let work = async move { app.store_and_send(commit).await };
        let task = match CallContext::current() {
            Some(context) => tokio::spawn(context.scope(work).in_current_span()),
            None => tokio::spawn(work.in_current_span()),
        };
        task.await.map_err(|_| Error::Corrupt("dispatch"))?
    }

    async fn store_and_send(&self, commit: Commit) -> Result<Settled, Error> {
        let opening = commit.opening.clone();
        fault::point("opening.before_intent");
        let settings_version = match self.parts.store.commit_opening(commit).await? {
            Committed::Stored { settings_version } => settings_version,
            Committed::SameKey => return Ok(Settled::SameKey),
            Committed::Used(by) => return Ok(Settled::Used(by)),
        };
        fault::point("opening.after_intent");
        let opening = match opening.command.clone() {
            Some(command) => self.send(opening, command, settings_version).await,
            None => opening,
        };
        tell(&opening);
        Ok(Settled::Opened(Box::new(Opened {
            opening,
            replayed: false,
        })))
    }

    async fn send(&self, opening: Opening, command: Command, settings_version: i64) -> Opening {
        fault::point("opening.before_call");
        let sent = self.parts.edge.send(&opening, &command, settings_version);
        let status = sent.await;
        fault::point("opening.after_call");
        if let Some(recorded) = self.record(&opening, status).await {
            fault::point("opening.after_outcome");
            return recorded.into_answered();
        }
        // The command has left: its outcome is the answer, stored or not.
        Opening {
            command: Some(Command {
                status,
                answered: Some(status),
                ..command
            }),
            ..opening
        }
    }
}

/// What an operator looks for when a resident calls; it names no person.
fn tell(opening: &Opening) {
    tracing::info!(
        opening_id = %opening.id,
        device_id = opening.device_id,
        client_id = opening.client_id,
        denial = opening.denial_code,
        command_status = ?opening.command.as_ref().map(|command| command.status),
        "decided"
    );
}
