//! What time destroys, each told by an entry of its own.

use audit_log::{
    Entry, Kind,
    entry::{code, first_id, month},
};
use jiff::{SignedDuration, Timestamp};

use crate::{app::App, domain::entry, error::Error};

/// Entries destroyed in one commit.
const TOGETHER: u64 = 1_000;

impl App {
    pub(super) async fn retain(&self, now: Timestamp) -> Result<(), Error> {
        self.destroy_months(now).await?;
        self.destroy_entries(now).await
    }

    /// Keys of months whose strangers need not be known any more.
    async fn destroy_months(&self, now: Timestamp) -> Result<(), Error> {
        let days = i64::from(self.parts.log.settings.strangers_keep_days);
        let store = &self.parts.store;
        // Of the month of this time the last day was not over yet.
        let Ok(then) = now.checked_sub(SignedDuration::from_hours(24 * days)) else {
            return Ok(());
        };
        let first_kept = month(then);
        for month in store.months_with_keys().await? {
            if month < first_kept {
                let telling = Entry {
                    subject: Some(month.clone()),
                    ..entry::act(Kind::Retention, "month_ended", now)
                };
                let telling = store.new_entry(telling, None)?;
                store.destroy_month(&month, telling).await?;
                tracing::info!(month, "the key of a month's strangers was destroyed");
            }
        }
        Ok(())
    }

    async fn destroy_entries(&self, now: Timestamp) -> Result<(), Error> {
        let days = i64::from(self.parts.log.settings.keep_days);
        let store = &self.parts.store;
        let Ok(then) = now.checked_sub(SignedDuration::from_hours(24 * days)) else {
            return Ok(());
        };
        if days == 0 {
            return Ok(());
        }
        let kept = first_id(then);
        loop {
            let lowest = store.lowest_entries(TOGETHER).await?;
            let old = lowest.iter().take_while(|(_, id)| *id < kept);
            let Some((last, _)) = old.last() else {
                return Ok(());
            };
            let first_kept = last + 1;
            let telling = Entry {
                subject: Some(first_kept.to_string()),
                ..entry::act(Kind::Retention, code::ENTRIES_DESTROYED, now)
            };
            let telling = store.new_entry(telling, None)?;
            store.destroy_entries(first_kept, telling).await?;
            tracing::info!(
                first_kept,
                "audit entries were destroyed; their hashes stay"
            );
        }
    }
}
