//! What is wrong with a log, by the number of the entry.

use std::fmt;

use uuid::Uuid;

use crate::TileId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// What the entry says does not hash to what the tree holds for it.
    Changed { number: u64 },
    /// An entry stands where another belongs.
    Moved { number: u64, belongs_at: u64 },
    /// The tree has it, the log has not, and no retention tells of it.
    Missing { number: u64 },
    /// The log has it, the tree has no place for it.
    Inserted { number: u64 },
    /// In the queue of the log, and put there by no service.
    Forged { id: Uuid },
    /// It is found under something else than it says.
    Column { number: u64, column: &'static str },
    /// The sealed link beside it is another one.
    Link { number: u64 },
    /// The sealed link beside it is gone, and no erasure tells of it.
    LinkGone { number: u64 },
    /// A hash of the tree is not that of the entries under it.
    Hash { tile: TileId, first: u64, last: u64 },
    /// A signed root is not that of the entries; `good` is the largest size
    /// before it whose signed root is.
    Root { size: u64, good: u64 },
    /// A checkpoint tells of more entries than there are.
    Short { size: u64, entries: u64 },
    /// The proof does not lead from the entry to the signed root.
    Proof { number: u64 },
    /// The log does not go on from the checkpoint of this size.
    Fork { size: u64 },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { number } => write!(
                f,
                "entry {number} was changed: it does not hash to what the tree holds for it"
            ),
            Self::Moved { number, belongs_at } => write!(
                f,
                "entry {number} was reordered: what stands there belongs at {belongs_at}"
            ),
            Self::Missing { number } => write!(f, "entry {number} is missing"),
            Self::Inserted { number } => {
                write!(
                    f,
                    "entry {number} was inserted: the tree has no place for it"
                )
            }
            Self::Forged { id } => write!(
                f,
                "entry {id} was inserted: no service wrote it, and it got no number"
            ),
            Self::Column { number, column } => write!(
                f,
                "entry {number} was changed: its column {column} is not what it says"
            ),
            Self::Link { number } => {
                write!(
                    f,
                    "entry {number} was changed: the link beside it is another"
                )
            }
            Self::LinkGone { number } => write!(
                f,
                "entry {number} was changed: the link beside it is gone, \
                 and no erasure tells of it"
            ),
            Self::Hash { tile, first, last } => write!(
                f,
                "hashes of the tree were changed (level {}, row {}): \
                 they are not those of entries {first} to {last}",
                tile.level, tile.index
            ),
            Self::Root { size, good } => write!(
                f,
                "the signed root of size {size} is not that of the entries: \
                 one of {good} to {} was changed",
                size.saturating_sub(1)
            ),
            Self::Short { size, entries } => write!(
                f,
                "entries {entries} to {} are missing: a checkpoint tells of {size}",
                size.saturating_sub(1)
            ),
            Self::Proof { number } => write!(
                f,
                "entry {number} is not proved: no path leads from it to the signed root"
            ),
            Self::Fork { size } => write!(
                f,
                "the log does not go on from the checkpoint of size {size}: \
                 an entry before {size} was changed"
            ),
        }
    }
}

/// Findings that are told one by one; the rest are counted.
const MOST: usize = 100;

#[derive(Clone, Debug, Default)]
pub struct Findings {
    told: Vec<Finding>,
    more: u64,
}

impl Findings {
    pub fn add(&mut self, finding: Finding) {
        if self.told.len() < MOST {
            self.told.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub fn told(&self) -> &[Finding] {
        &self.told
    }

    /// How many there are beyond those told.
    pub fn more(&self) -> u64 {
        self.more
    }

    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}
