//! A request with an idempotency key that was seen before.

use std::time::{Duration, Instant};

use mesh::context::CallContext;
use uuid::Uuid;

use super::{OpenRequest, Opened};
use crate::{
    app::App,
    domain::{
        entry,
        opening::{Command, CommandStatus},
        token::Bearer,
    },
    error::Error,
    store::Idempotency,
};

/// How long after its expiry a command's outcome may still come: the edge waits
/// a second for the partner's answer, which has then to be stored.
const ANSWER_GRACE: Duration = Duration::from_secs(2);
/// How often a repeat looks whether the first request has ended.
const POLL: Duration = Duration::from_millis(25);
/// Kept back from the deadline, to answer `in_progress` in time.
const POLL_RESERVE: Duration = Duration::from_millis(500);

impl App {
    /// The first answer of this key, once it is there, and for ever after.
    pub(super) async fn repeat(&self, idempotency: &Idempotency) -> Result<Option<Opened>, Error> {
        let store = &self.parts.store;
        let Some((fingerprint, id)) = store.idempotency(&idempotency.key).await? else {
            return Ok(None);
        };
        if fingerprint != idempotency.fingerprint {
            return Err(Error::IdempotencyMismatch);
        }
        loop {
            let opening = store
                .opening(id)
                .await?
                .ok_or(Error::Corrupt("idempotency key"))?;
            let command = opening.command.as_ref();
            let answer = match command.filter(|command| command.answered.is_none()) {
                None => Some(opening),
                Some(command) if self.is_under_way(id, command) => None,
                // The first request is gone, or a confirmation was faster than
                // its outcome: this becomes the first answer.
                Some(_) => {
                    let status = CommandStatus::Unknown;
                    let telling = entry::outcome(&opening, status, self.parts.clock.now());
                    Some(store.record_outcome(id, status, telling).await?)
                }
            };
            if let Some(opening) = answer {
                return Ok(Some(Opened {
                    opening: opening.into_answered(),
                    replayed: true,
                }));
            }
            if CallContext::current().is_none_or(|call| call.remaining() < POLL_RESERVE) {
                return Err(Error::InProgress);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// By how long this process has seen it so: its expiry is of the wall clock,
    /// which may have stepped since.
    fn is_under_way(&self, id: Uuid, command: &Command) -> bool {
        let most = self.parts.command_expiry + ANSWER_GRACE;
        command.status == CommandStatus::Pending
            && self.parts.pending.may_end(id, most, Instant::now())
    }

    /// Scoped to client, path and, for a subject token, the token itself.
    pub(super) fn idempotency(
        &self,
        bearer: &Bearer,
        request: &OpenRequest,
    ) -> Option<Idempotency> {
        let name = request.idempotency_key.as_ref()?;
        let key = &self.parts.store.keys().fingerprint;
        let jti = bearer.subject.as_ref().map_or("", |_| bearer.jti.as_str());
        Some(Idempotency {
            key: key
                .mac(&[
                    b"idempotency key",
                    bearer.client_id.as_bytes(),
                    request.kind.scope().as_bytes(),
                    request.device_id.as_bytes(),
                    jti.as_bytes(),
                    name.as_bytes(),
                ])
                .to_vec(),
            fingerprint: key
                .mac(&[b"idempotency body", &request.body_digest])
                .to_vec(),
        })
    }
}
