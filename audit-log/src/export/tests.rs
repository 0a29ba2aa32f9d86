use proptest::prelude::*;

use super::*;
use crate::{Kind, LogKey, Tiles, Tree, record_hash};

fn key() -> LogKey {
    LogKey::from_seed("propdev.example/audit", &[7; 32]).expect("a key")
}

fn payload(number: u64) -> String {
    let at = "2026-11-24T06:00:00Z".parse().expect("a time");
    let entry = Entry {
        opening: (number == 5).then(Uuid::nil),
        ..Entry::new(Kind::Decision, "granted", at)
    };
    entry.to_text().expect("a text")
}

struct Exported {
    payloads: Vec<String>,
    tiles: Tiles,
    /// Signed at each size.
    notes: Vec<String>,
}

impl Exported {
    fn of(size: u64) -> Self {
        let payloads: Vec<String> = (0..size).map(payload).collect();
        let mut tree = Tree::default();
        let mut notes = vec![];
        for payload in &payloads {
            tree.push(record_hash(payload.as_bytes()));
            let root = tree.root().expect("a root");
            let size = tree.size();
            notes.push(key().sign(Head { size, root }).expect("signed"));
        }
        Self {
            payloads,
            tiles: tree.tiles().clone(),
            notes,
        }
    }

    fn header(&self, whole: bool) -> String {
        let key = key().verifier().expect("a key");
        let note = self.notes.last().expect("a checkpoint");
        Header::new(&key, note, whole).to_line().expect("a line")
    }

    fn whole(&self) -> Vec<String> {
        let numbers = 0..self.payloads.len();
        std::iter::once(self.header(true))
            .chain(numbers.map(|number| self.line(number, number)))
            .collect()
    }

    /// An entry where another stood, beside the hash that was there.
    fn line(&self, number: usize, of: usize) -> String {
        let hash = record_hash(self.payloads[number].as_bytes());
        whole_line(number as u64, Some(&self.payloads[of]), hash).expect("a line")
    }

    fn selection(&self, numbers: &[u64]) -> Vec<String> {
        let size = self.payloads.len() as u64;
        let line = |number: &u64| {
            let proof = self.tiles.inclusion(size, *number).expect("a proof");
            let payload = &self.payloads[*number as usize];
            proved_line(*number, payload, &proof).expect("a line")
        };
        std::iter::once(self.header(false))
            .chain(numbers.iter().map(line))
            .collect()
    }
}

fn check_lines(lines: &[String], against: &Against<'_>) -> Result<Checked, ExportError> {
    let mut text = lines.join("\n");
    text.push('\n');
    check(text.as_bytes(), against)
}

fn findings(lines: &[String]) -> Vec<Finding> {
    let checked = check_lines(lines, &Against::default()).expect("an export");
    checked.report.findings.told().to_vec()
}

#[test]
fn a_whole_export_is_checked_whole() {
    let exported = Exported::of(300);
    let known = key().verifier().expect("a key");
    let against = Against {
        key: Some(&known),
        checkpoints: vec![exported.notes[99].clone()],
        opening: Some(Uuid::nil()),
    };
    let checked = check_lines(&exported.whole(), &against).expect("an export");
    assert!(checked.report.is_good(), "{:?}", checked.report.findings);
    assert_eq!((checked.entries, checked.checkpoint.size), (300, 300));
    assert_eq!(checked.of_opening, [5]);
    assert_eq!(checked.report.checkpoints, [100, 300]);
}

#[test]
fn another_logs_checkpoint_is_no_ancestor() {
    let (one, other) = (Exported::of(30), Exported::of(20));
    let against = Against {
        checkpoints: vec![other.notes[9].clone()],
        ..Against::default()
    };
    let checked = check_lines(&one.whole(), &against).expect("an export");
    let named = checked.report.findings.told();
    assert_eq!(named, [Finding::Root { size: 10, good: 0 }]);
    let longer = Exported::of(40);
    let against = Against {
        checkpoints: longer.notes[35..36].to_vec(),
        ..Against::default()
    };
    let checked = check_lines(&one.whole(), &against).expect("an export");
    let named = checked.report.findings.told();
    let short = Finding::Short {
        size: 36,
        entries: 30,
    };
    assert_eq!(named, [short]);
}

#[test]
fn a_strangers_key_is_not_believed() {
    let exported = Exported::of(3);
    let stranger = LogKey::from_seed("propdev.example/audit", &[8; 32]);
    let stranger = stranger.and_then(|key| key.verifier()).expect("a key");
    let against = Against {
        key: Some(&stranger),
        ..Against::default()
    };
    let refused = check_lines(&exported.whole(), &against).expect_err("another key");
    assert!(matches!(refused, ExportError::Checkpoint(_)), "{refused}");
}

#[test]
fn what_retention_destroyed_stands_as_its_hash() {
    let exported = Exported::of(10);
    let mut lines = exported.whole();
    let hash = record_hash(exported.payloads[2].as_bytes());
    lines[3] = whole_line(2, None, hash).expect("a line");
    // No entry tells of it.
    assert_eq!(findings(&lines), [Finding::Missing { number: 2 }]);
}

#[test]
fn each_entry_of_a_selection_is_proved() {
    let exported = Exported::of(300);
    let mut lines = exported.selection(&[3, 5, 299]);
    let checked = check_lines(&lines, &Against::default()).expect("an export");
    assert!(checked.report.is_good());
    assert_eq!((checked.entries, checked.whole), (3, false));
    lines[2] = lines[2].replace("granted", "no_grant");
    assert_eq!(findings(&lines), [Finding::Proof { number: 5 }]);
    let against = Against {
        checkpoints: vec![exported.notes[1].clone()],
        ..Against::default()
    };
    let refused = check_lines(&lines, &against).expect_err("a selection");
    assert!(matches!(refused, ExportError::Selection));
}

#[test]
fn what_is_no_export_is_refused_by_its_line() {
    let exported = Exported::of(3);
    let mut lines = exported.whole();
    lines[2].push_str(" x");
    let refused = check_lines(&lines, &Against::default()).expect_err("no line");
    assert!(matches!(refused, ExportError::Line(3)), "{refused}");
    let cut = exported.whole().join("\n");
    let refused = check(cut.as_bytes(), &Against::default()).expect_err("cut off");
    assert!(matches!(refused, ExportError::Line(4)), "{refused}");
    let refused = check(&b""[..], &Against::default()).expect_err("empty");
    assert!(matches!(refused, ExportError::Line(1)), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_tampered_export_names_the_entry(size in prop_oneof![2_u64..20, 250_u64..300], at: prop::sample::Index, to: prop::sample::Index, how in 0..5) {
        let exported = Exported::of(size);
        let (number, other) = (at.index(size as usize), to.index(size as usize));
        prop_assume!(other != number);
        let mut lines = exported.whole();
        match how {
            0 => lines[number + 1] = lines[number + 1].replace("granted", "grantee"),
            1 => { lines.remove(number + 1); }
            2 => lines.insert(number + 1, exported.line(number, other)),
            3 => {
                lines[number + 1] = exported.line(number, other);
                lines[other + 1] = exported.line(other, number);
            }
            _ => {
                let line = lines.remove(number + 1);
                lines.insert(other + 1, line);
            }
        }
        let named = findings(&lines);
        // Of two neighbours that changed places, one is named.
        let neighbour = how == 4 && other == number + 1;
        let names = |finding: &Finding| match finding {
            Finding::Changed { number: named }
            | Finding::Missing { number: named }
            | Finding::Inserted { number: named }
            | Finding::Moved { number: named, .. } => {
                *named == number as u64 || (neighbour && *named == other as u64)
            }
            _ => false,
        };
        prop_assert!(named.iter().any(names), "{:?}", named);
        prop_assert!(named.len() <= 3, "{:?}", named);
    }

    #[test]
    fn any_file_is_read_without_a_panic(lines in proptest::collection::vec("\\PC*", 0..5)) {
        let _ = check_lines(&lines, &Against::default());
        let mut whole = Exported::of(3).whole();
        whole.extend(lines);
        let _ = check_lines(&whole, &Against::default());
    }
}
