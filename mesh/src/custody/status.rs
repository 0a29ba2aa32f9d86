//! Where the keys of a store stand.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use jiff::Timestamp;

use super::{Custody, CustodyError, Identity};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    pub identity: Identity,
    /// Oldest first.
    pub epochs: Vec<EpochStatus>,
    pub managed: bool,
    pub rotating: bool,
    /// Older epochs that nothing refers to, for an operator to remove.
    pub stale: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochStatus {
    pub id: i64,
    /// None where the keyring lacks it.
    pub created_at: Option<Timestamp>,
    /// Rows wrapped by it or hashed under it.
    pub references: u64,
    pub current: bool,
}

impl Custody {
    pub async fn key_status(&self) -> Result<KeyStatus, CustodyError> {
        let keyring = &self.inner.keyring;
        let references = self.references().await?;
        let current = keyring.current().id;
        let mut epochs: BTreeMap<i64, EpochStatus> = BTreeMap::new();
        for id in keyring
            .epochs()
            .into_iter()
            .chain(references.keys().copied())
        {
            epochs.entry(id).or_insert_with(|| EpochStatus {
                id,
                created_at: keyring.epoch(id).ok().map(|epoch| epoch.created_at),
                references: references.get(&id).copied().unwrap_or(0),
                current: id == current,
            });
        }
        let epochs: Vec<EpochStatus> = epochs.into_values().collect();
        let managed = keyring.is_managed();
        let older = |epoch: &&EpochStatus| epoch.id < current && epoch.created_at.is_some();
        let stale = epochs
            .iter()
            .filter(older)
            .filter(|epoch| epoch.references == 0 && !managed)
            .map(|epoch| epoch.id)
            .collect();
        let begun = managed && epochs.iter().any(|epoch| older(&epoch));
        Ok(KeyStatus {
            identity: self.inner.identity.clone(),
            managed,
            rotating: begun || self.inner.rotating.load(Ordering::Acquire),
            stale,
            epochs,
        })
    }
}
