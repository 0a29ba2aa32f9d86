//! Reads a log from its first entry to a checkpoint's last and finds whatever
//! is not as it was signed.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use tlog_tiles::{HASH_SIZE, Hash, record_hash};
use uuid::Uuid;

use crate::{
    Entry, Finding, Head, Kind, TileId, Tiles, Tree, TreeError,
    entry::{code, digest},
    finding::Findings,
    tree::{WIDTH, hashes, rows_above},
};

/// An entry with what stands beside it in its row.
#[derive(Clone, Debug)]
pub struct Row {
    pub number: u64,
    pub payload: Vec<u8>,
    pub link: SealedLink,
    /// None where a row is told without them, as in an export.
    pub columns: Option<Columns>,
}

/// What leads from an entry to a person, where there is such a thing.
#[derive(Clone, Debug)]
pub enum SealedLink {
    /// Nobody says whether it is there, as in an export.
    Untold,
    Absent,
    Present(Vec<u8>),
}

/// By which an entry is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    pub id: Uuid,
    pub code: String,
    pub device: Option<String>,
    pub who: Option<Uuid>,
    pub opening: Option<Uuid>,
}

impl Columns {
    pub fn of(entry: &Entry) -> Self {
        Self {
            id: entry.id,
            code: entry.code.clone(),
            device: entry.device.clone(),
            who: entry.who,
            opening: entry.opening,
        }
    }

    /// The name of the first column that is not the same.
    fn unlike(&self, other: &Self) -> Option<&'static str> {
        [
            ("id", self.id == other.id),
            ("code", self.code == other.code),
            ("device_id", self.device == other.device),
            ("audit_pseudonym", self.who == other.who),
            ("opening_id", self.opening == other.opening),
        ]
        .into_iter()
        .find_map(|(name, same)| (!same).then_some(name))
    }
}

/// What a verification came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Entries under the tree.
    pub size: u64,
    /// Those whose content retention has destroyed.
    pub destroyed: u64,
    /// Links that erasures have destroyed.
    pub links_gone: u64,
    /// Sizes of the checkpoints that were held against the entries.
    pub checkpoints: Vec<u64>,
    pub findings: Findings,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

#[derive(Debug, Default)]
pub struct Verification {
    tree: Tree,
    /// Signed roots, by size.
    heads: BTreeMap<u64, Vec<Hash>>,
    compared: Vec<u64>,
    /// The largest size so far whose signed roots were right.
    good: u64,
    findings: Findings,
    /// Numbers without an entry that retention may have destroyed, as first
    /// and last.
    gaps: Vec<(u64, u64)>,
    /// Entries before it may be gone: told by the log itself.
    kept_from: u64,
    /// The first entry of each resident whose link is gone, and how many.
    unlinked: BTreeMap<Uuid, (u64, u64)>,
    /// Openings whose reading named nobody and whose link is gone.
    unread: BTreeMap<Uuid, u64>,
    /// Whose plate such a reading nearly was, by opening.
    suggested: BTreeMap<Uuid, Uuid>,
    /// Residents whose erasure the log tells.
    erased: BTreeSet<Uuid>,
}

impl Verification {
    /// Holds the entries against these checkpoints, at least one of which is of
    /// the whole log.
    pub fn new(heads: impl IntoIterator<Item = Head>) -> Result<Self, TreeError> {
        let mut verification = Self::default();
        for head in heads {
            let roots = verification.heads.entry(head.size).or_default();
            roots.push(head.root);
        }
        verification.compare()?;
        Ok(verification)
    }

    /// The number that comes next.
    pub fn next(&self) -> u64 {
        self.tree.size()
    }

    /// The entries of the next numbers, `held` being the hashes that the tree
    /// has for them, as many as there are numbers; None where no hash is told.
    /// Rows are in the order of their numbers, and of these numbers.
    pub fn add(&mut self, rows: Vec<Row>, held: &[Option<Hash>]) -> Result<(), TreeError> {
        let first = self.next();
        let mut rows = rows.into_iter().peekable();
        for (number, hash) in (first..).zip(held) {
            while let Some(row) = rows.next_if(|row| row.number < number) {
                self.inserted(row.number);
            }
            let row = rows.next_if(|row| row.number == number);
            let leaf = match (row, hash) {
                (Some(row), held_hash) => {
                    let own = record_hash(&row.payload);
                    let good = held_hash.is_none_or(|hash| hash == own);
                    if good {
                        self.read(row);
                    } else {
                        self.misplaced(number, own, first, held);
                    }
                    // Of the two, the tree's keeps the rest of it whole.
                    held_hash.unwrap_or(own)
                }
                (None, Some(hash)) => {
                    self.gap(number);
                    *hash
                }
                (None, None) => {
                    self.findings.add(Finding::Missing { number });
                    Hash::default()
                }
            };
            self.tree.push(leaf);
            self.compare()?;
        }
        for row in rows {
            self.inserted(row.number);
        }
        self.tree.forget_entries();
        Ok(())
    }

    /// One more checkpoint, of a tree that is not smaller than what is read.
    pub fn expect(&mut self, head: Head) -> Result<(), TreeError> {
        self.heads.entry(head.size).or_default().push(head.root);
        self.compare()
    }

    /// Whether something is gone that an entry to come may still tell of.
    pub fn is_waiting(&self) -> bool {
        let missing = self.gaps.iter().any(|(_, last)| *last >= self.kept_from);
        missing
            || self.unlinked.keys().any(|who| !self.erased.contains(who))
            || self
                .unread
                .keys()
                .any(|opening| !self.is_forgotten(opening))
    }

    /// Whether the one whose plate an opening's reading nearly was is erased.
    fn is_forgotten(&self, opening: &Uuid) -> bool {
        let who = self.suggested.get(opening);
        who.is_some_and(|who| self.erased.contains(who))
    }

    /// The same for a row of hashes as it is stored: entries of the numbers that
    /// it covers, from the next one on, in a tree of so many.
    pub fn add_stored(
        &mut self,
        rows: Vec<Row>,
        stored: Option<&[u8]>,
        size: u64,
    ) -> Result<(), TreeError> {
        let tile = TileId {
            level: 0,
            index: self.next() / WIDTH,
        };
        let read = self.next() % WIDTH;
        let wanted = tile.width_in(size).saturating_sub(read);
        let (read, wanted) = (read as usize, wanted as usize);
        let mut held: Vec<Option<Hash>> = hashes(stored.unwrap_or_default())
            .skip(read)
            .take(wanted)
            .map(Some)
            .collect();
        if held.len() < wanted {
            let (first, _) = tile.entries_under((read + held.len()) as u64);
            let (_, last) = tile.entries_under((read + wanted) as u64 - 1);
            self.findings.add(Finding::Hash { tile, first, last });
            held.resize(wanted, None);
        }
        self.add(rows, &held)
    }

    /// An entry with a number that the tree does not have.
    pub fn inserted(&mut self, number: u64) {
        self.findings.add(Finding::Inserted { number });
    }

    /// An entry in the queue that no service put there.
    pub fn forged(&mut self, id: Uuid) {
        self.findings.add(Finding::Forged { id });
    }

    /// The rows of hashes above the entries', as they are stored, held against
    /// what the entries make them.
    pub fn compare_tiles(&mut self, stored: &Tiles) {
        for id in rows_above(self.tree.size()) {
            let own = self.tree.tiles().get(id).unwrap_or_default();
            let stored = stored.get(id).unwrap_or_default();
            // The log may have grown since.
            let stored = stored.get(..own.len()).unwrap_or(stored);
            if own == stored {
                continue;
            }
            let position = unlike(own, stored);
            let (first, last) = id.entries_under(position);
            self.findings.add(Finding::Hash {
                tile: id,
                first,
                last,
            });
        }
    }

    pub fn finish(mut self) -> Report {
        let entries = self.tree.size();
        for size in std::mem::take(&mut self.heads).into_keys() {
            self.findings.add(Finding::Short { size, entries });
        }
        let mut destroyed = 0;
        for (first, last) in std::mem::take(&mut self.gaps) {
            destroyed += (last + 1).min(self.kept_from).saturating_sub(first);
            for number in first.max(self.kept_from)..=last {
                self.findings.add(Finding::Missing { number });
            }
        }
        let mut links_gone = 0;
        for (who, (number, count)) in std::mem::take(&mut self.unlinked) {
            if self.erased.contains(&who) {
                links_gone += count;
            } else {
                self.findings.add(Finding::LinkGone { number });
            }
        }
        for (opening, number) in std::mem::take(&mut self.unread) {
            if self.is_forgotten(&opening) {
                links_gone += 1;
            } else {
                self.findings.add(Finding::LinkGone { number });
            }
        }
        Report {
            size: entries,
            destroyed,
            links_gone,
            checkpoints: self.compared,
            findings: self.findings,
        }
    }

    /// The roots signed for the size that the tree has reached.
    fn compare(&mut self) -> Result<(), TreeError> {
        let size = self.tree.size();
        let Some(signed) = self.heads.remove(&size) else {
            return Ok(());
        };
        let root = self.tree.root()?;
        self.compared.push(size);
        if signed.iter().all(|signed| *signed == root) {
            self.good = size;
        } else {
            let good = self.good;
            self.findings.add(Finding::Root { size, good });
        }
        Ok(())
    }

    fn gap(&mut self, number: u64) {
        match self.gaps.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => self.gaps.push((number, number)),
        }
    }

    fn misplaced(&mut self, number: u64, own: Hash, first: u64, held: &[Option<Hash>]) {
        let belongs_at = (first..)
            .zip(held)
            .find_map(|(other, hash)| (*hash == Some(own)).then_some(other));
        self.findings.add(match belongs_at {
            Some(belongs_at) => Finding::Moved { number, belongs_at },
            None => Finding::Changed { number },
        });
    }

    /// An entry that is what the tree says: what stands beside it, and what it
    /// says of others.
    fn read(&mut self, row: Row) {
        let number = row.number;
        let Some(entry) = Entry::parse(&row.payload) else {
            // Written so: a form of a later release.
            return;
        };
        if let Some(columns) = &row.columns
            && let Some(column) = columns.unlike(&Columns::of(&entry))
        {
            self.findings.add(Finding::Column { number, column });
        }
        match (&entry.sealed, &row.link) {
            (_, SealedLink::Untold) | (None, SealedLink::Absent) => {}
            (Some(wanted), SealedLink::Present(sealed)) if *wanted == digest(sealed) => {}
            (_, SealedLink::Present(_)) => self.findings.add(Finding::Link { number }),
            (Some(_), SealedLink::Absent) => match (entry.who, entry.opening) {
                (Some(who), _) => self.unlinked.entry(who).or_insert((number, 0)).1 += 1,
                (None, Some(opening)) => {
                    self.unread.insert(opening, number);
                }
                (None, None) => self.findings.add(Finding::LinkGone { number }),
            },
        }
        match (entry.kind, entry.code.as_str()) {
            (Kind::Erasure, code::FINISHED) => {
                self.erased.extend(entry.who);
            }
            (Kind::Suggestion, code::NEAR_MISS) => {
                self.suggested.extend(entry.opening.zip(entry.who));
            }
            (Kind::Retention, code::ENTRIES_DESTROYED) => {
                let told = entry.subject.and_then(|number| number.parse().ok());
                self.kept_from = self.kept_from.max(told.unwrap_or(0));
            }
            _ => {}
        }
    }
}

/// The position of the first hash that is not the same in both rows.
fn unlike(own: &[u8], stored: &[u8]) -> u64 {
    let same = hashes(own)
        .zip(hashes(stored))
        .take_while(|(one, other)| one == other)
        .count();
    let last = (own.len() / HASH_SIZE).saturating_sub(1);
    same.min(last) as u64
}
