//! What was done to biometric-svc's store: that service tells nobody by itself,
//! so it is asked. Each replica asks: an act has one id wherever it is told, and
//! that is its entry's.

use std::time::Duration;

use mesh::shutdown::Shutdown;

use crate::{app::App, clients::BIOMETRIC, error::Error};

const EVERY: Duration = Duration::from_secs(2);

impl App {
    /// Until shutdown.
    pub(crate) async fn follow_acts(self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.take_acts().await {
                // With an entry in it, an empty store could not be restored into.
                Ok(()) | Err(Error::EmptyStore) => told = false,
                Err(error) if !told => {
                    tracing::warn!(%error, "acts of biometric-svc wait for their entries");
                    told = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn take_acts(&self) -> Result<(), Error> {
        let store = &self.parts.store;
        loop {
            self.check_in_use().await?;
            let after = store.last_act(BIOMETRIC).await?;
            let mut acts = self.parts.biometric.acts_after(after).await?;
            let Some(last) = acts.last().map(|act| act.id) else {
                return Ok(());
            };
            // Else a restore has just brought the key of another store.
            if !store.holds_entry_key().await? {
                return Err(Error::EmptyStore);
            }
            // After a restore there it tells again what time has destroyed here.
            if let Some(kept) = self.first_kept(self.parts.clock.now()) {
                acts.retain(|act| act.id >= kept);
            }
            store.take_acts(BIOMETRIC, acts, last).await?;
        }
    }
}
