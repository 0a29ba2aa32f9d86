//! What became of a command, stored: what was answered is what is told later.

use std::time::Duration;

use audit_log::Entry;
use backon::{BackoffBuilder, ExponentialBuilder};
use mesh::context::CallContext;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        entry,
        opening::{CommandStatus, Opening},
    },
    error::Error,
};

/// Tries after the first, while the caller waits.
const RETRIES: usize = 3;
/// Kept back from the deadline, so that the answer still arrives.
const ANSWER_RESERVE: Duration = Duration::from_millis(200);

struct Outcome {
    opening: Uuid,
    status: CommandStatus,
    telling: Entry,
}

impl App {
    /// The opening as it is stored with this outcome; none where it is not, or
    /// not yet: it is tried again until it is.
    pub(super) async fn record(&self, opening: &Opening, status: CommandStatus) -> Option<Opening> {
        let outcome = Outcome {
            opening: opening.id,
            status,
            telling: entry::outcome(opening, status, self.parts.clock.now()),
        };
        let pauses = pauses().with_max_times(RETRIES).build();
        let error = match self
            .store_outcome(&outcome, pauses.take_while(in_time))
            .await
        {
            Ok(recorded) => return Some(recorded),
            Err(error) => error,
        };
        let opening_id = opening.id;
        if may_pass(&error) && self.parts.pending.keep(opening_id) {
            tracing::warn!(%error, %opening_id, "an outcome is not stored yet");
            tokio::spawn(self.clone().store_later(outcome).in_current_span());
        } else {
            tracing::error!(%error, %opening_id, "an outcome was not stored");
        }
        None
    }

    async fn store_later(self, outcome: Outcome) {
        let opening_id = outcome.opening;
        let pauses = pauses().without_max_times().build();
        match self.store_outcome(&outcome, pauses).await {
            Ok(_) => tracing::info!(%opening_id, "an outcome was stored late"),
            Err(error) => tracing::error!(%error, %opening_id, "an outcome was not stored"),
        }
        self.parts.pending.let_go(opening_id);
    }

    async fn store_outcome(
        &self,
        outcome: &Outcome,
        pauses: impl Iterator<Item = Duration>,
    ) -> Result<Opening, Error> {
        let store = &self.parts.store;
        // Stored twice it is told once.
        let write =
            || store.record_outcome(outcome.opening, outcome.status, outcome.telling.clone());
        until_stored(pauses, write).await
    }
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_millis(500))
        .with_jitter()
}

/// Whether the caller still hears the answer after such a pause.
fn in_time(pause: &Duration) -> bool {
    CallContext::current().is_some_and(|call| call.remaining() > *pause + ANSWER_RESERVE)
}

/// Not where the row itself is what is wrong.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Write(_) | Error::Database(_) | Error::GivenUp)
}

/// Writes until it succeeds, as long as there are pauses.
async fn until_stored<T, F>(
    mut pauses: impl Iterator<Item = Duration>,
    write: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        let error = match write().await {
            Ok(stored) => return Ok(stored),
            Err(error) => error,
        };
        let pause = pauses.next().filter(|_| may_pass(&error));
        let Some(pause) = pause else {
            return Err(error);
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use mesh::db::WriteError;

    use super::*;
    use crate::error::Noun;

    /// Whether it was stored, and after how many tries.
    async fn tried(failures: u32, error: fn() -> Error, pauses: usize) -> (bool, u32) {
        let tries = AtomicU32::new(0);
        let write = || {
            let before = tries.fetch_add(1, Ordering::Relaxed);
            async move {
                if before < failures {
                    Err(error())
                } else {
                    Ok(())
                }
            }
        };
        let pauses = std::iter::repeat_n(Duration::ZERO, pauses);
        let stored = until_stored(pauses, write).await;
        (stored.is_ok(), tries.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_as_often_as_there_are_pauses() {
        let away = || Error::Write(WriteError::Stopped);
        assert_eq!(tried(0, away, 3).await, (true, 1));
        assert_eq!(tried(3, away, 3).await, (true, 4));
        assert_eq!(tried(9, away, 3).await, (false, 4));
        assert_eq!(tried(9, || Error::GivenUp, 9).await, (true, 10));
        let absent = || Error::NotFound(Noun::Opening);
        assert_eq!(tried(9, absent, 3).await, (false, 1));
    }

    #[tokio::test]
    async fn nobody_is_kept_waiting_beyond_the_deadline() {
        let pause = Duration::from_millis(50);
        assert!(!in_time(&pause), "nobody waits");
        let within = async |budget| {
            let call = CallContext::new(budget, "r".into());
            call.scope(async { in_time(&pause) }).await
        };
        assert!(within(Duration::from_secs(60)).await);
        assert!(!within(ANSWER_RESERVE).await);
    }
}
