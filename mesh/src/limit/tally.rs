//! What strangers can cause at will: counted, and told now and then, so that
//! nobody can flood a log with it.

use std::{collections::HashMap, hash::Hash, sync::Mutex, time::Duration};

use super::lock;

/// How often what was counted is told.
pub const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Counts by key, so many keys apart.
pub struct Tally<K> {
    counts: Mutex<HashMap<K, u32>>,
    most: usize,
}

impl<K: Clone + Eq + Hash> Tally<K> {
    pub fn new(most: usize) -> Self {
        Self {
            counts: Mutex::default(),
            most,
        }
    }

    /// Counts for the key or, where too many are counted apart already, for
    /// the one that stands for the rest.
    pub fn add(&self, key: K, rest: K, times: u32) {
        let mut counts = lock(&self.counts);
        let apart = counts.len() < self.most || counts.contains_key(&key);
        let count = counts.entry(if apart { key } else { rest }).or_default();
        *count = count.saturating_add(times);
    }

    pub fn counted(&self) -> HashMap<K, u32> {
        lock(&self.counts).clone()
    }

    /// Takes away what has been told; what has not been stays counted.
    pub fn told(&self, told: &HashMap<K, u32>) {
        lock(&self.counts).retain(|key, count| {
            *count -= told.get(key).copied().unwrap_or(0).min(*count);
            *count > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_make_it_long() {
        let tally = Tally::new(100);
        for i in 0..1_000 {
            tally.add(Some(i), None, 1);
        }
        let counted = tally.counted();
        assert_eq!(counted.len(), 101);
        assert_eq!((counted[&Some(7)], counted[&None]), (1, 900));
    }

    #[test]
    fn what_was_not_told_stays_counted() {
        let tally = Tally::new(100);
        tally.add("a", "rest", 3);
        let counted = tally.counted();
        tally.add("a", "rest", 2);
        tally.add("b", "rest", 1);
        assert_eq!(tally.counted()["a"], 5, "it could not be told");
        tally.told(&counted);
        assert_eq!(tally.counted(), HashMap::from([("a", 2), ("b", 1)]));
        tally.told(&tally.counted());
        assert!(tally.counted().is_empty());
    }
}
