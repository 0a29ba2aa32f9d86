//! The keys of what belongs to nobody known: one a month, destroyed when its
//! time is over.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use audit_log::entry::month;
use jiff::Timestamp;
use mesh::{
    crypto::Key,
    db::{named_key, named_key::NamedKeyError},
};

use super::Store;
use crate::error::Error;

/// Of the names of these keys.
pub(super) const PREFIX: &str = "audit-strangers-";

/// A month's key.
pub(crate) struct MonthKey(Key);

impl MonthKey {
    pub(super) fn key(&self) -> &Key {
        &self.0
    }
}

/// The key of the month that was last asked for.
#[derive(Clone, Default)]
pub(in crate::store) struct Months(Arc<ArcSwapOption<(String, Key)>>);

impl Store {
    /// The key of that month, made at its first stranger.
    pub(crate) async fn month_key(&self, at: Timestamp) -> Result<MonthKey, Error> {
        let month = month(at);
        if let Some(held) = &*self.months.0.load()
            && held.0 == month
        {
            return Ok(MonthKey(held.1.clone()));
        }
        let name = format!("{PREFIX}{month}");
        let key = named_key::load_or_create(&self.db.read, &self.keyring, &name).await?;
        self.months.0.store(Some(Arc::new((month, key.clone()))));
        Ok(MonthKey(key))
    }

    /// The same, unless it was never made or is gone.
    pub(super) async fn month_key_if_there(
        &self,
        at: Timestamp,
    ) -> Result<Option<MonthKey>, Error> {
        let name = format!("{PREFIX}{}", month(at));
        let Some(wrapped) = named_key::wrapped(&self.db.read, &name).await? else {
            return Ok(None);
        };
        let key = self.keyring.unwrap(&wrapped, name.as_bytes());
        let key = key.map_err(|source| NamedKeyError::Keyring { name, source })?;
        Ok(Some(MonthKey(key)))
    }
}
