use proptest::prelude::*;

use super::*;
use crate::tree::rows_of_level;

/// A log as a database holds it.
#[derive(Clone)]
struct Stored {
    size: u64,
    rows: Vec<Row>,
    tiles: Tiles,
    heads: Vec<Head>,
}

fn entry(number: u64) -> Entry {
    let at = "2026-11-24T06:00:00Z".parse().expect("a time");
    let who = Uuid::from_u128(u128::from(number % 5));
    Entry {
        who: number.is_multiple_of(2).then_some(who),
        device: Some(format!("door-{}", number % 3)),
        sealed: number.is_multiple_of(3).then(|| digest(&link(number))),
        ..Entry::new(Kind::Decision, "granted", at)
    }
}

fn link(number: u64) -> Vec<u8> {
    format!("sealed {number}").into_bytes()
}

fn row(number: u64, entry: &Entry) -> Row {
    Row {
        number,
        payload: entry.to_text().expect("a text").into_bytes(),
        link: match entry.sealed {
            Some(_) => SealedLink::Present(link(number)),
            None => SealedLink::Absent,
        },
        columns: Some(Columns::of(entry)),
    }
}

impl Stored {
    /// With a checkpoint after each of these sizes.
    fn new(entries: impl IntoIterator<Item = Entry>, checkpoints: &[u64]) -> Self {
        let (mut tree, mut rows, mut heads) = (Tree::default(), vec![], vec![]);
        for (number, entry) in (0..).zip(entries) {
            let row = row(number, &entry);
            tree.push(record_hash(&row.payload));
            rows.push(row);
            if checkpoints.contains(&tree.size()) {
                heads.push(head(&tree));
            }
        }
        heads.push(head(&tree));
        Self {
            size: tree.size(),
            rows,
            tiles: tree.take_changed().into_iter().collect(),
            heads,
        }
    }

    fn of(size: u64) -> Self {
        Self::new((0..size).map(entry), &[size / 2])
    }

    fn verify(&self) -> Vec<Finding> {
        self.report().findings.told().to_vec()
    }

    /// As propctl does: a row of hashes after the other.
    fn report(&self) -> Report {
        let mut verification = Verification::new(self.heads.clone()).expect("heads");
        let mut rows = self.rows.clone();
        rows.sort_by_key(|row| row.number);
        for id in rows_of_level(self.size, 0) {
            let (first, end) = (id.index * WIDTH, self.size.min((id.index + 1) * WIDTH));
            let these = rows
                .iter()
                .filter(|row| (first..end).contains(&row.number))
                .cloned()
                .collect();
            let stored = self.tiles.get(id);
            verification
                .add_stored(these, stored, self.size)
                .expect("a tree");
        }
        for row in rows.iter().filter(|row| row.number >= self.size) {
            verification.inserted(row.number);
        }
        verification.compare_tiles(&self.tiles);
        verification.finish()
    }

    fn edit_tile(&mut self, id: TileId, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut row = self.tiles.get(id).expect("a row").to_vec();
        edit(&mut row);
        self.tiles.insert(id, row);
    }
}

fn head(tree: &Tree) -> Head {
    Head {
        size: tree.size(),
        root: tree.root().expect("a root"),
    }
}

/// Sizes on both sides of a row's end.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![1_u64..40, 250_u64..262, 500_u64..700]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_nobody_touched_is_good(size in size()) {
        let report = Stored::of(size).report();
        prop_assert!(report.is_good(), "{:?}", report.findings);
        prop_assert_eq!((report.size, report.destroyed, report.links_gone), (size, 0, 0));
        let checkpoints: Vec<u64> = if size > 1 { vec![size / 2, size] } else { vec![size] };
        prop_assert_eq!(report.checkpoints, checkpoints);
    }

    #[test]
    fn a_changed_byte_names_its_entry(size in size(), at: prop::sample::Index, byte: prop::sample::Index, bit in 0_u8..8) {
        let mut stored = Stored::of(size);
        let number = at.index(size as usize);
        let payload = &mut stored.rows[number].payload;
        let byte = byte.index(payload.len());
        payload[byte] ^= 1 << bit;
        prop_assert_eq!(stored.verify(), [Finding::Changed { number: number as u64 }]);
    }

    #[test]
    fn a_dropped_row_names_its_entry(size in size(), at: prop::sample::Index) {
        let mut stored = Stored::of(size);
        let number = at.index(size as usize);
        stored.rows.remove(number);
        prop_assert_eq!(stored.verify(), [Finding::Missing { number: number as u64 }]);
    }

    #[test]
    fn reordered_rows_name_their_entries(size in size(), one: prop::sample::Index, other: prop::sample::Index) {
        let mut stored = Stored::of(size);
        let (one, other) = (one.index(size as usize), other.index(size as usize));
        prop_assume!(one != other);
        stored.rows[one].number = other as u64;
        stored.rows[other].number = one as u64;
        let named = stored.verify();
        prop_assert_eq!(named.len(), 2);
        for number in [one as u64, other as u64] {
            let names = |finding: &Finding| match finding {
                Finding::Moved { number: named, .. } | Finding::Changed { number: named } => *named == number,
                _ => false,
            };
            prop_assert!(named.iter().any(names), "{:?}", named);
        }
    }

    /// A row put in between: those after it have moved.
    #[test]
    fn an_inserted_row_names_its_entry(size in size(), at: prop::sample::Index) {
        let mut stored = Stored::of(size);
        let number = at.index(size as usize) as u64;
        for row in &mut stored.rows {
            row.number += u64::from(row.number >= number);
        }
        stored.rows.push(row(number, &entry(1_000)));
        let named = stored.verify();
        prop_assert_eq!(&named[0], &Finding::Changed { number });
        // The last has no place in the tree any more.
        prop_assert!(named.len() as u64 == (size - number + 1).min(100));
    }

    #[test]
    fn a_row_after_the_last_names_its_entry(size in size()) {
        let mut stored = Stored::of(size);
        stored.rows.push(row(size, &entry(size)));
        prop_assert_eq!(stored.verify(), [Finding::Inserted { number: size }]);
    }

    #[test]
    fn a_column_that_says_otherwise_is_named(size in size(), at: prop::sample::Index, which in 0..5) {
        let mut stored = Stored::of(size);
        let number = at.index(size as usize);
        let columns = stored.rows[number].columns.as_mut().expect("columns");
        let column = match which {
            0 => { columns.id = Uuid::nil(); "id" }
            1 => { columns.code = "no_grant".into(); "code" }
            2 => { columns.device = None; "device_id" }
            3 => { columns.who = Some(Uuid::from_u128(99)); "audit_pseudonym" }
            _ => { columns.opening = Some(Uuid::nil()); "opening_id" }
        };
        prop_assert_eq!(stored.verify(), [Finding::Column { number: number as u64, column }]);
    }

    #[test]
    fn a_link_that_is_another_or_gone_is_named(size in size(), at: prop::sample::Index, gone: bool) {
        let mut stored = Stored::of(size);
        let linked: Vec<usize> = (0..size as usize).step_by(3).collect();
        let number = *at.get(&linked);
        let (link, finding) = if gone {
            (SealedLink::Absent, Finding::LinkGone { number: number as u64 })
        } else {
            (SealedLink::Present(b"another".to_vec()), Finding::Link { number: number as u64 })
        };
        stored.rows[number].link = link;
        prop_assert_eq!(stored.verify(), [finding]);
    }

    /// Of entries: the entry is named. Above: those under it.
    #[test]
    fn a_changed_hash_names_what_it_is_of(size in 257_u64..700, at: prop::sample::Index, bit in 0_u8..8) {
        let mut stored = Stored::of(size);
        let number = at.index(size as usize) as u64;
        let id = TileId { level: 0, index: number / WIDTH };
        stored.edit_tile(id, |row| row[(number % WIDTH) as usize * HASH_SIZE] ^= 1 << bit);
        let named = stored.verify();
        prop_assert_eq!(&named[0], &Finding::Changed { number });

        let mut stored = Stored::of(size);
        let above = TileId { level: 1, index: 0 };
        stored.edit_tile(above, |row| row[3] ^= 1 << bit);
        let named = Finding::Hash { tile: above, first: 0, last: 255 };
        prop_assert_eq!(stored.verify(), [named]);
    }

    /// An entry and its hash changed together: the hash above and the signed
    /// roots tell.
    #[test]
    fn a_change_with_its_hash_is_narrowed_down(size in 257_u64..700, at: prop::sample::Index) {
        let mut stored = Stored::of(size);
        let number = at.index(WIDTH as usize);
        stored.rows[number].payload[0] ^= 1;
        let hash = record_hash(&stored.rows[number].payload);
        let id = TileId { level: 0, index: 0 };
        stored.edit_tile(id, |row| row[number * HASH_SIZE..][..HASH_SIZE].copy_from_slice(&hash.0));
        let named = stored.verify();
        let range = Finding::Hash { tile: TileId { level: 1, index: 0 }, first: 0, last: 255 };
        prop_assert!(named.contains(&range), "{:?}", named);
        let good = if number as u64 >= size / 2 { size / 2 } else { 0 };
        prop_assert!(named.contains(&Finding::Root { size, good }), "{:?}", named);
    }

    #[test]
    fn a_log_cut_short_is_named(size in size(), cut in 1_u64..30) {
        prop_assume!(cut < size);
        let whole = Stored::of(size);
        let mut stored = Stored::of(size - cut);
        // Ids are random: the shorter one is made of the same rows.
        stored.rows = whole.rows[..(size - cut) as usize].to_vec();
        let mut tree = Tree::default();
        stored.rows.iter().for_each(|row| tree.push(record_hash(&row.payload)));
        stored.heads = vec![head(&tree), whole.heads[whole.heads.len() - 1]];
        stored.tiles = tree.take_changed().into_iter().collect();
        prop_assert_eq!(stored.verify(), [Finding::Short { size, entries: size - cut }]);
    }

    #[test]
    fn a_row_of_hashes_that_lacks_some_is_named(size in 1_u64..300, lacking in 1_u64..20) {
        prop_assume!(lacking <= size.min(WIDTH));
        let mut stored = Stored::of(size);
        let id = TileId { level: 0, index: 0 };
        let width = id.width_in(size);
        stored.edit_tile(id, |row| row.truncate((width - lacking) as usize * HASH_SIZE));
        let named = Finding::Hash { tile: id, first: width - lacking, last: width - 1 };
        prop_assert_eq!(stored.verify(), [named]);
    }
}

#[test]
fn what_retention_destroyed_is_not_missed() {
    let at = "2027-11-24T06:00:00Z".parse().expect("a time");
    let told = Entry {
        subject: Some("300".into()),
        ..Entry::new(Kind::Retention, code::ENTRIES_DESTROYED, at)
    };
    let mut stored = Stored::new((0..500).map(entry).chain([told]), &[]);
    stored.rows.retain(|row| row.number >= 300);
    let report = stored.report();
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!(report.destroyed, 300);
    stored.rows.retain(|row| row.number != 300);
    assert_eq!(stored.verify(), [Finding::Missing { number: 300 }]);
}

#[test]
fn what_an_erasure_destroyed_is_not_missed() {
    let at = "2026-11-25T06:00:00Z".parse().expect("a time");
    let who = Uuid::from_u128(2);
    let told = Entry {
        who: Some(who),
        ..Entry::new(Kind::Erasure, code::FINISHED, at)
    };
    let mut stored = Stored::new((0..100).map(entry).chain([told]), &[]);
    let unlink = |stored: &mut Stored, of: fn(Option<Uuid>) -> bool| {
        let mut count = 0;
        for row in &mut stored.rows {
            let entry = Entry::parse(&row.payload).expect("an entry");
            if entry.sealed.is_some() && of(entry.who) {
                row.link = SealedLink::Absent;
                count += 1;
            }
        }
        count
    };
    let gone = unlink(&mut stored, |who| who == Some(Uuid::from_u128(2)));
    let report = stored.report();
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!(report.links_gone, gone);
    assert_eq!(gone, 3);
    // Of somebody who was not erased.
    unlink(&mut stored, |who| who == Some(Uuid::from_u128(4)));
    let named = stored.verify();
    assert!(matches!(named[..], [Finding::LinkGone { .. }]), "{named:?}");
}

#[test]
fn a_strangers_link_may_go_with_whom_it_nearly_named() {
    let at = "2026-11-24T06:00:00Z".parse().expect("a time");
    let (opening, who) = (Uuid::from_u128(77), Uuid::from_u128(9));
    let read = Entry {
        opening: Some(opening),
        sealed: Some(digest(&link(0))),
        ..Entry::new(Kind::Decision, "subject_not_recognized", at)
    };
    let suggestion = Entry {
        opening: Some(opening),
        who: Some(who),
        ..Entry::new(Kind::Suggestion, code::NEAR_MISS, at)
    };
    let erased = Entry {
        who: Some(who),
        ..Entry::new(Kind::Erasure, code::FINISHED, at)
    };
    let without_link = |entries: &[&Entry]| {
        let mut stored = Stored::new(entries.iter().map(|entry| (*entry).clone()), &[]);
        stored.rows[0].link = SealedLink::Absent;
        stored.report()
    };
    let good = without_link(&[&read, &suggestion, &erased]);
    assert!(good.is_good(), "{:?}", good.findings);
    assert_eq!(good.links_gone, 1);
    for entries in [&[&read, &suggestion][..], &[&read, &erased]] {
        let report = without_link(entries);
        let gone = [Finding::LinkGone { number: 0 }];
        assert_eq!(report.findings.told(), gone);
    }
}

#[test]
fn findings_are_counted_past_a_hundred() {
    let mut stored = Stored::of(400);
    stored.rows.clear();
    let report = stored.report();
    assert_eq!(report.findings.told().len(), 100);
    assert_eq!(report.findings.more(), 300);
}

/// As when entries get their numbers while the log is read.
#[test]
fn a_log_that_grows_is_read_on() {
    let at = "2026-11-25T06:00:00Z".parse().expect("a time");
    let erased = Entry {
        who: Some(Uuid::from_u128(2)),
        ..Entry::new(Kind::Erasure, code::FINISHED, at)
    };
    let mut stored = Stored::new((0..300).map(entry).chain([erased]), &[300]);
    for row in &mut stored.rows {
        let entry = Entry::parse(&row.payload).expect("an entry");
        if entry.who == Some(Uuid::from_u128(2)) {
            row.link = SealedLink::Absent;
        }
    }
    let mut verification = Verification::new([stored.heads[0]]).expect("heads");
    let add = |verification: &mut Verification, numbers: std::ops::Range<usize>| {
        let id = TileId {
            level: 0,
            index: verification.next() / WIDTH,
        };
        let rows = stored.rows[numbers.clone()].to_vec();
        verification
            .add_stored(rows, stored.tiles.get(id), numbers.end as u64)
            .expect("a tree");
    };
    add(&mut verification, 0..256);
    add(&mut verification, 256..300);
    assert!(verification.is_waiting(), "links are gone");
    verification.expect(stored.heads[1]).expect("a head");
    add(&mut verification, 300..301);
    assert!(!verification.is_waiting());
    verification.compare_tiles(&stored.tiles);
    let report = verification.finish();
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!(report.checkpoints, [300, 301]);
}
