//! The tree's hashes in rows of 256: a row of level 0 holds the hashes of
//! entries, one of level `n` the hashes of whole rows of level `n - 1`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use tlog_tiles::{HASH_SIZE, Hash, HashReader, Tile};

const HEIGHT: u8 = 8;

/// Hashes in a full row.
pub const WIDTH: u64 = 1 << HEIGHT;

/// Enough for every number of 64 bits.
const LEVELS: u8 = 8;

/// What the hashes do not allow: they are not those of such a tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("row {} of level {} of the tree is not as long as the tree makes it", .0.index, .0.level)]
    Width(TileId),
    #[error(transparent)]
    Tree(#[from] tlog_tiles::Error),
}

/// Where a row of hashes stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileId {
    pub level: u8,
    pub index: u64,
}

impl TileId {
    /// Hashes in this row of a tree of so many entries.
    pub fn width_in(self, size: u64) -> u64 {
        count(size, self.level)
            .saturating_sub(self.index.saturating_mul(WIDTH))
            .min(WIDTH)
    }

    /// First and last entry under a hash of this row.
    pub fn entries_under(self, position: u64) -> (u64, u64) {
        let below = u32::from(HEIGHT) * u32::from(self.level);
        let hash = self.index.saturating_mul(WIDTH).saturating_add(position);
        let first = hash.checked_shl(below).unwrap_or(u64::MAX);
        let span = 1_u64.checked_shl(below).unwrap_or(u64::MAX);
        (first, first.saturating_add(span - 1))
    }
}

/// Hashes of a level in a tree of so many entries.
fn count(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(HEIGHT) * u32::from(level))
        .unwrap_or(0)
}

/// The last row of each level that is not full: what appending goes on from,
/// and all that the root is made of.
pub fn edge(size: u64) -> impl Iterator<Item = TileId> {
    (0..LEVELS).filter_map(move |level| {
        let hashes = count(size, level);
        (!hashes.is_multiple_of(WIDTH)).then_some(TileId {
            level,
            index: hashes / WIDTH,
        })
    })
}

/// Every row of a level in a tree of so many entries.
pub fn rows_of_level(size: u64, level: u8) -> impl Iterator<Item = TileId> {
    (0..count(size, level).div_ceil(WIDTH)).map(move |index| TileId { level, index })
}

/// Every row above the entries' own hashes.
pub fn rows_above(size: u64) -> impl Iterator<Item = TileId> {
    (1..LEVELS).flat_map(move |level| rows_of_level(size, level))
}

/// Rows of hashes, each hash of 32 bytes after the other.
#[derive(Clone, Debug, Default)]
pub struct Tiles(BTreeMap<TileId, Vec<u8>>);

impl Tiles {
    pub fn insert(&mut self, id: TileId, hashes: Vec<u8>) {
        self.0.insert(id, hashes);
    }

    pub fn get(&self, id: TileId) -> Option<&[u8]> {
        self.0.get(&id).map(Vec::as_slice)
    }

    /// The root of the tree of so many entries, of which these rows hold the
    /// edge or more.
    pub fn root(&self, size: u64) -> Result<Hash, TreeError> {
        Ok(tlog_tiles::tree_hash(size, self)?)
    }

    /// RFC 6962 section 2.1.1.
    pub fn inclusion(&self, size: u64, number: u64) -> Result<Vec<Hash>, TreeError> {
        Ok(tlog_tiles::prove_record(size, number, self)?)
    }

    /// RFC 6962 section 2.1.2; of the empty tree nothing need be proved.
    pub fn consistency(&self, size: u64, earlier: u64) -> Result<Vec<Hash>, TreeError> {
        if earlier == 0 {
            return Ok(vec![]);
        }
        Ok(tlog_tiles::prove_tree(size, earlier, self)?)
    }
}

impl IntoIterator for Tiles {
    type Item = (TileId, Vec<u8>);
    type IntoIter = std::collections::btree_map::IntoIter<TileId, Vec<u8>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(TileId, Vec<u8>)> for Tiles {
    fn from_iter<I: IntoIterator<Item = (TileId, Vec<u8>)>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

impl HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let read = |index: &u64| {
            let tile = Tile::from_index(HEIGHT, *index);
            let hashes = self.get(of_tile(&tile));
            tile.hash_at_index(hashes.ok_or(tlog_tiles::Error::IndexesNotInTree)?, *index)
        };
        indexes.iter().map(read).collect()
    }
}

fn of_tile(tile: &Tile) -> TileId {
    TileId {
        level: tile.level(),
        index: tile.level_index(),
    }
}

/// Notes what is asked for and has none of it.
#[derive(Default)]
struct Asked(RefCell<BTreeSet<TileId>>);

impl HashReader for Asked {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let tiles = indexes.iter().map(|index| Tile::from_index(HEIGHT, *index));
        self.0.borrow_mut().extend(tiles.map(|tile| of_tile(&tile)));
        Err(tlog_tiles::Error::IndexesNotInTree)
    }
}

/// The rows that [`Tiles::root`] reads.
pub fn rows_of_root(size: u64) -> BTreeSet<TileId> {
    let asked = Asked::default();
    let _ = tlog_tiles::tree_hash(size, &asked);
    asked.0.into_inner()
}

/// The rows that [`Tiles::inclusion`] reads.
pub fn rows_of_inclusion(size: u64, number: u64) -> BTreeSet<TileId> {
    let asked = Asked::default();
    let _ = tlog_tiles::prove_record(size, number, &asked);
    asked.0.into_inner()
}

/// The rows that [`Tiles::consistency`] reads.
pub fn rows_of_consistency(size: u64, earlier: u64) -> BTreeSet<TileId> {
    let asked = Asked::default();
    let _ = tlog_tiles::prove_tree(size, earlier, &asked);
    asked.0.into_inner()
}

/// A tree that grows.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    tiles: Tiles,
    changed: BTreeSet<TileId>,
}

impl Tree {
    /// Goes on from the edge of a tree of so many entries; rows that a larger
    /// one has lengthened are taken as they were.
    pub fn resume(size: u64, mut tiles: Tiles) -> Result<Self, TreeError> {
        for id in edge(size) {
            let wanted = usize::try_from(id.width_in(size)).unwrap_or(0) * HASH_SIZE;
            match tiles.0.get_mut(&id) {
                Some(row) if row.len() >= wanted => row.truncate(wanted),
                _ => return Err(TreeError::Width(id)),
            }
        }
        Ok(Self {
            size,
            tiles,
            changed: BTreeSet::new(),
        })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn push(&mut self, leaf: Hash) {
        let (mut hash, mut at) = (leaf, self.size);
        self.size += 1;
        for level in 0..LEVELS {
            let id = TileId {
                level,
                index: at / WIDTH,
            };
            let row = self.tiles.0.entry(id).or_default();
            row.extend_from_slice(&hash.0);
            self.changed.insert(id);
            if row.len() < WIDTH as usize * HASH_SIZE {
                return;
            }
            hash = Tile::subtree_hash(row);
            at /= WIDTH;
        }
    }

    pub fn root(&self) -> Result<Hash, TreeError> {
        self.tiles.root(self.size)
    }

    pub fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// The rows that have changed since this was last asked.
    pub fn take_changed(&mut self) -> Vec<(TileId, Vec<u8>)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .filter_map(|id| Some((id, self.tiles.get(id)?.to_vec())))
            .collect()
    }

    /// Forgets the hashes of entries but for the edge: what a tree that is only
    /// computed need not keep.
    pub fn forget_entries(&mut self) {
        let current = self.size / WIDTH;
        self.tiles
            .0
            .retain(|id, _| id.level > 0 || id.index >= current);
        self.changed.clear();
    }
}

/// The hashes of a row.
pub fn hashes(row: &[u8]) -> impl Iterator<Item = Hash> {
    row.as_chunks::<HASH_SIZE>().0.iter().copied().map(Hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tlog_tiles::{check_record, check_tree, node_hash, record_hash};

    use super::*;

    fn leaf(number: u64) -> Hash {
        record_hash(format!("entry {number}").as_bytes())
    }

    fn tree(size: u64) -> Tree {
        let mut tree = Tree::default();
        (0..size).for_each(|number| tree.push(leaf(number)));
        tree
    }

    /// RFC 6962 section 2.1, word for word.
    fn plain(leaves: &[Hash]) -> Hash {
        match leaves {
            [one] => *one,
            many => {
                let half = many.len().next_power_of_two() / 2;
                node_hash(plain(&many[..half]), plain(&many[half..]))
            }
        }
    }

    #[test]
    fn the_root_is_the_rfcs_at_every_size() {
        let leaves: Vec<Hash> = (0..1_030).map(leaf).collect();
        let mut tree = Tree::default();
        assert_eq!(tree.root().expect("a root"), tlog_tiles::EMPTY_HASH);
        for (number, hash) in leaves.iter().enumerate() {
            tree.push(*hash);
            let root = tree.root().expect("a root");
            assert_eq!(root, plain(&leaves[..=number]), "size {}", number + 1);
        }
    }

    #[test]
    fn a_third_level_carries_on() {
        let tree = tree(WIDTH * WIDTH + 3);
        let above = TileId { level: 2, index: 0 };
        assert_eq!(tree.tiles().get(above).map(<[u8]>::len), Some(HASH_SIZE));
        let proof = tree.tiles().inclusion(tree.size(), 70).expect("a proof");
        let root = tree.root().expect("a root");
        check_record(&proof, tree.size(), root, 70, leaf(70)).expect("proved");
    }

    #[test]
    fn a_hash_says_which_entries_it_covers() {
        let id = |level, index| TileId { level, index };
        assert_eq!(id(0, 2).entries_under(3), (515, 515));
        assert_eq!(id(1, 0).entries_under(2), (512, 767));
        assert_eq!(id(2, 0).entries_under(0), (0, 65_535));
        assert_eq!(id(1, 0).width_in(600), 2);
        assert_eq!(id(0, 2).width_in(600), 88);
        assert_eq!(id(0, 3).width_in(600), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the batches, the stored rows and the root are the same.
        #[test]
        fn batches_make_no_difference(batches in proptest::collection::vec(0_u64..400, 1..6)) {
            let (mut stored, mut size) = (Tiles::default(), 0);
            for batch in batches {
                let edge: Tiles = edge(size)
                    .map(|id| (id, stored.get(id).expect("a row").to_vec()))
                    .collect();
                let mut tree = Tree::resume(size, edge).expect("an edge");
                (size..size + batch).for_each(|number| tree.push(leaf(number)));
                size += batch;
                for (id, row) in tree.take_changed() {
                    stored.insert(id, row);
                }
                prop_assert_eq!(tree.size(), size);
            }
            let whole = tree(size);
            for id in rows_of_level(size, 0).chain(rows_above(size)) {
                prop_assert_eq!(stored.get(id), whole.tiles().get(id));
            }
            prop_assert_eq!(stored.root(size).expect("a root"), whole.root().expect("a root"));
        }

        #[test]
        fn proofs_hold_with_the_rows_they_name(size in 1_u64..1_500, number: prop::sample::Index, earlier: prop::sample::Index) {
            let whole = tree(size);
            let root = whole.root().expect("a root");
            let named = |rows: BTreeSet<TileId>| -> Tiles {
                let row = |id| (id, whole.tiles().get(id).expect("a row").to_vec());
                rows.into_iter().map(row).collect()
            };
            let number = number.index(size as usize) as u64;
            let proof = named(rows_of_inclusion(size, number)).inclusion(size, number).expect("a proof");
            prop_assert!(check_record(&proof, size, root, number, leaf(number)).is_ok());
            prop_assert!(check_record(&proof, size, root, number, leaf(size)).is_err());
            let earlier = earlier.index(size as usize) as u64;
            let old = whole.tiles().root(earlier).expect("a root");
            let proof = named(rows_of_consistency(size, earlier)).consistency(size, earlier).expect("a proof");
            if earlier > 0 {
                prop_assert!(check_tree(&proof, size, root, earlier, old).is_ok());
                prop_assert!(check_tree(&proof, size, root, earlier, leaf(0)).is_err() || earlier == 1);
            }
            let edge = named(edge(size).collect());
            prop_assert_eq!(edge.root(size).expect("a root"), root);
        }

        #[test]
        fn an_edge_of_a_larger_tree_will_do(size in 1_u64..700, more in 1_u64..300) {
            let larger = tree(size + more);
            let rows = edge(size).map(|id| (id, larger.tiles().get(id).expect("a row").to_vec()));
            let resumed = Tree::resume(size, rows.collect()).expect("an edge");
            prop_assert_eq!(resumed.root().expect("a root"), tree(size).root().expect("a root"));
        }

        #[test]
        fn an_edge_that_lacks_hashes_is_refused(size in 1_u64..1_000, cut in 1_usize..64) {
            prop_assume!(!size.is_multiple_of(WIDTH));
            let whole = tree(size);
            let rows = edge(size).map(|id| {
                let mut row = whole.tiles().get(id).expect("a row").to_vec();
                row.truncate(row.len().saturating_sub(cut));
                (id, row)
            });
            prop_assert!(Tree::resume(size, rows.collect()).is_err());
        }
    }
}
