//! The biometric store is told where residents are recognised, whenever that changes.

use std::time::Duration;

use mesh::shutdown::Shutdown;
use uuid::Uuid;

use super::App;
use crate::{error::Error, store::Page};

const EVERY: Duration = Duration::from_secs(5);
const AT_ONCE: u64 = 200;

impl App {
    /// Tells what was left untold, until shutdown.
    pub(crate) async fn keep_galleries(self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.tell_pending_galleries(&shutdown).await {
                tracing::warn!(%error, "sites of residents are untold; they are told again");
            }
        }
    }

    /// One that fails does not hold up the others.
    async fn tell_pending_galleries(&self, shutdown: &Shutdown) -> Result<(), Error> {
        let mut outcome = Ok(());
        let mut page = Page {
            after: None,
            limit: AT_ONCE,
        };
        while !shutdown.is_cancelled() {
            let residents = self.parts.store.pending_galleries(page).await?;
            // Those that failed are not come back to before the next time.
            page.after = residents.last().copied();
            if page.after.is_none() {
                break;
            }
            for resident in residents {
                let told = self.tell_galleries(resident).await;
                if let Err(Error::Dependency(_)) = told {
                    return told;
                }
                outcome = told.and(outcome);
            }
        }
        outcome
    }

    /// What is told too late, or perhaps not at all, is told again.
    pub(super) async fn tell_galleries(&self, resident: Uuid) -> Result<(), Error> {
        let store = &self.parts.store;
        let Some(galleries) = store.galleries(resident).await? else {
            return Ok(());
        };
        let told = self
            .parts
            .biometric
            .set_galleries(galleries.subject, &galleries.sites)
            .await;
        let known = told.is_ok().then_some(galleries.version);
        store.settle_galleries(resident, known).await?;
        told
    }
}
