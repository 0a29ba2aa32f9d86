//! What time destroys, each told by an entry of its own.

use audit_log::{
    Entry, Kind,
    entry::{code, first_id, month},
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

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

    /// The lowest id that an entry may have to be kept; none where all are.
    pub(super) fn first_kept(&self, now: Timestamp) -> Option<Uuid> {
        first_kept(self.parts.log.settings.keep_days, now)
    }

    async fn destroy_entries(&self, now: Timestamp) -> Result<(), Error> {
        let store = &self.parts.store;
        let Some(kept) = self.first_kept(now) else {
            return Ok(());
        };
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

/// 0 days: for ever.
fn first_kept(days: u32, now: Timestamp) -> Option<Uuid> {
    if days == 0 {
        return None;
    }
    let kept_for = SignedDuration::from_hours(24 * i64::from(days));
    now.checked_sub(kept_for).ok().map(first_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_for_their_days_or_for_ever() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let id = |text: &str| Entry::new(Kind::Act, "x", at(text)).id;
        let now = at("2026-11-24T06:00:00Z");
        let kept = first_kept(30, now).expect("a bound");
        assert!(id("2026-10-25T05:59:59Z") < kept);
        assert!(id("2026-10-25T06:00:00.001Z") > kept);
        assert_eq!(first_kept(0, now), None);
        // As long as there is a calendar.
        assert_eq!(first_kept(u32::MAX, now), None);
    }
}
