//! What there is to tell of tokens, clients and keys, by auth-svc, and of
//! clients that hurry or guess, by this service.

use mesh::{
    limit::{Limited, TOLD_EVERY},
    shutdown::Shutdown,
};
use uuid::Uuid;

use super::App;
use crate::{
    error::Error,
    store::{AuthEvent, Page},
};

/// Clients that a summary counts apart; the others go together.
pub(crate) const MOST_NAMED: usize = 100;

impl App {
    /// Answers once all are durable; those taken before are not taken twice.
    pub(crate) async fn append_auth_events(&self, events: Vec<AuthEvent>) -> Result<(), Error> {
        self.check_in_use().await?;
        self.parts.store.insert_auth_events(events).await
    }

    /// Newest first.
    pub(crate) async fn list_auth_events(
        &self,
        client_id: Option<String>,
        page: Page,
    ) -> Result<Vec<(Uuid, Vec<u8>)>, Error> {
        self.parts.store.list_auth_events(client_id, page).await
    }

    /// Counts what a limit refused; the audit is told once a minute.
    pub(super) fn count_limited<T>(
        &self,
        client_id: &str,
        result: Result<T, Limited>,
    ) -> Result<T, Limited> {
        if result.is_err() {
            self.parts
                .limited
                .add(client_id.to_owned(), String::new(), 1);
        }
        result
    }

    /// One event a minute of each client that was refused, until shutdown.
    pub(crate) async fn summarise(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(TOLD_EVERY) => {}
            }
            if let Err(error) = self.record_limited().await {
                tracing::warn!(%error, "a summary was not stored; the next one tells it too");
            }
            if shutdown.is_cancelled() {
                return;
            }
        }
    }

    async fn record_limited(&self) -> Result<(), Error> {
        let now = self.parts.clock.now();
        let counted = self.parts.limited.counted();
        if counted.is_empty() {
            return Ok(());
        }
        self.check_in_use().await?;
        let events = counted.iter().filter_map(|(client_id, count)| {
            AuthEvent::rate_limited(client_id.clone(), *count, now)
        });
        self.parts
            .store
            .insert_auth_events(events.collect())
            .await?;
        self.parts.limited.told(&counted);
        Ok(())
    }
}
