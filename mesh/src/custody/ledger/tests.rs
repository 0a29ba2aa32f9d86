use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;
use crate::custody::config::Particulars;

struct Place {
    folder: TempDir,
    config: ErasureConfig,
    identity: Identity,
    signer: Signer,
}

impl Place {
    fn new() -> Self {
        crate::jose::install_crypto();
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            config: ErasureConfig {
                ledger: folder.path().join("own/erasures.jsonl"),
                copies: vec![folder.path().join("one"), folder.path().join("two")],
                act: Particulars::default(),
            },
            identity: Identity {
                service: "a-svc".into(),
                deployment: "d".into(),
                region: "ru-moscow".into(),
            },
            signer: Signer::random(),
            folder,
        }
    }

    async fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.config, &self.identity, &self.signer).await
    }

    async fn with_entries(count: u128) -> Self {
        let place = Self::new();
        let ledger = place.open().await.expect("a ledger");
        for id in 1..=count {
            append(&ledger, id).await.expect("an entry");
        }
        place
    }

    fn copy(&self, folder: &str) -> PathBuf {
        self.folder.path().join(folder).join("erasures.jsonl")
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.config.ledger).expect("the ledger");
        text.lines().map(str::to_owned).collect()
    }

    /// Puts these lines in place of the ledger and of every copy.
    fn replace(&self, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        for path in [&self.config.ledger, &self.copy("one"), &self.copy("two")] {
            fs::write(path, &text).expect("written");
        }
    }

    async fn refusal(&self) -> String {
        self.open().await.err().expect("refused").to_string()
    }
}

async fn append(ledger: &Ledger, id: u128) -> Result<Entry, LedgerError> {
    let at = Timestamp::from_second(1_700_000_000).expect("a time");
    ledger
        .append(Uuid::from_u128(id), Uuid::from_u128(1_000 + id), at)
        .await
}

#[tokio::test]
async fn entries_are_kept_in_every_copy_and_read_back() {
    let place = Place::with_entries(3).await;
    let own = fs::read(&place.config.ledger).expect("the ledger");
    assert_eq!(fs::read(place.copy("one")).expect("a copy"), own);
    assert_eq!(fs::read(place.copy("two")).expect("a copy"), own);
    let ledger = place.open().await.expect("a ledger");
    assert_eq!(ledger.last_number().await.expect("a number"), 3);
    assert!(ledger.contains(Uuid::from_u128(2)).await.expect("known"));
    assert!(!ledger.contains(Uuid::from_u128(9)).await.expect("known"));
    let after = ledger.entries_after(2).await.expect("entries");
    assert_eq!(after.len(), 1);
    assert_eq!((after[0].number, after[0].id), (3, Uuid::from_u128(3)));
    assert_eq!(ledger.entries().await.expect("entries").len(), 3);
}

#[tokio::test]
async fn the_same_erasure_is_written_once_and_a_later_one_again() {
    let place = Place::with_entries(1).await;
    let ledger = place.open().await.expect("a ledger");
    assert_eq!(append(&ledger, 1).await.expect("known").number, 1);
    let at = Timestamp::from_second(1_800_000_000).expect("a time");
    let again = ledger
        .append(Uuid::from_u128(1), Uuid::from_u128(1_001), at)
        .await;
    assert_eq!(again.expect("an entry").number, 2);
}

#[tokio::test]
async fn what_is_concluded_twice_at_once_is_written_once() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    let (one, two) = (one.expect("a ledger"), two.expect("a ledger"));
    let conclude = async |ledger: &Ledger, pseudonym: u128, second: i64| {
        let at = Timestamp::from_second(second).expect("a time");
        let entry = ledger.append_once(Uuid::from_u128(1), Uuid::from_u128(pseudonym), at);
        entry.await.expect("an entry")
    };
    let (first, again) = tokio::join!(
        conclude(&one, 1_001, 1_700_000_000),
        conclude(&two, 1_001, 1_800_000_000)
    );
    assert_eq!(first, again);
    assert_eq!(place.lines().len(), 2, "the header and one entry");
    assert_eq!(conclude(&one, 1_002, 1_700_000_000).await.number, 2);
}

#[tokio::test]
async fn replicas_append_to_one_file() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    let (one, two) = (one.expect("a ledger"), two.expect("a ledger"));
    assert_eq!(append(&one, 1).await.expect("an entry").number, 1);
    assert_eq!(append(&two, 2).await.expect("an entry").number, 2);
    assert_eq!(append(&one, 3).await.expect("an entry").number, 3);
    assert_eq!(two.last_number().await.expect("a number"), 3);
    place.open().await.expect("unbroken");
}

#[tokio::test]
async fn a_dropped_a_moved_and_an_edited_line_are_named() {
    let place = Place::with_entries(4).await;
    let lines = place.lines();

    let mut dropped = lines.clone();
    dropped.remove(2);
    place.replace(&dropped);
    assert!(place.refusal().await.contains("line 3 "), "dropped");

    let mut moved = lines.clone();
    moved.swap(2, 3);
    place.replace(&moved);
    assert!(place.refusal().await.contains("line 3 "), "moved");

    let mut edited = lines.clone();
    edited[3] = edited[3].replace("000000000003", "000000000009");
    assert_ne!(edited[3], lines[3]);
    place.replace(&edited);
    assert!(place.refusal().await.contains("line 4 "), "edited");

    let mut elsewhere = lines.clone();
    elsewhere[0] = elsewhere[0].replace("ru-moscow", "ru-kazan");
    place.replace(&elsewhere);
    assert!(place.refusal().await.contains("line 1 "), "another region");

    // What was signed of another chain does not fit into this one.
    let other = Place::with_entries(4).await;
    let mut foreign = lines.clone();
    foreign[2] = other.lines()[2].clone();
    place.replace(&foreign);
    assert!(place.refusal().await.contains("line 3 "), "foreign");

    place.replace(&lines);
    place.open().await.expect("as it was");
}

#[tokio::test]
async fn half_a_line_is_cut_off() {
    let place = Place::with_entries(2).await;
    let whole = fs::read(&place.config.ledger).expect("the ledger");
    let mut torn = whole.clone();
    torn.extend_from_slice(b"{\"number\":3,\"id\":\"0000");
    fs::write(&place.config.ledger, &torn).expect("written");
    let ledger = place.open().await.expect("a ledger");
    assert_eq!(fs::read(&place.config.ledger).expect("the ledger"), whole);
    assert_eq!(append(&ledger, 3).await.expect("an entry").number, 3);

    // Half of the very first line, too.
    let fresh = Place::new();
    fs::create_dir_all(fresh.folder.path().join("own")).expect("a folder");
    fs::write(&fresh.config.ledger, b"{\"ledger\":{").expect("written");
    let ledger = fresh.open().await.expect("a ledger");
    assert_eq!(append(&ledger, 1).await.expect("an entry").number, 1);
}

#[tokio::test]
async fn a_copy_that_lags_is_brought_up_to_date() {
    let place = Place::with_entries(2).await;
    let whole = fs::read(&place.config.ledger).expect("the ledger");
    fs::write(place.copy("one"), &whole[..whole.len() - 20]).expect("written");
    fs::remove_file(place.copy("two")).expect("removed");
    place.open().await.expect("a ledger");
    assert_eq!(fs::read(place.copy("one")).expect("a copy"), whole);
    assert_eq!(fs::read(place.copy("two")).expect("a copy"), whole);
}

#[tokio::test]
async fn a_ledger_shorter_than_its_copy_is_refused_with_both_numbers() {
    let place = Place::with_entries(5).await;
    let lines = place.lines();
    let text: String = lines[..4].iter().map(|line| format!("{line}\n")).collect();
    fs::write(&place.config.ledger, text).expect("written");
    let error = place.refusal().await;
    assert!(
        error.contains("number 3") && error.contains("number 5"),
        "{error}"
    );

    fs::remove_file(&place.config.ledger).expect("removed");
    let error = place.refusal().await;
    assert!(
        error.contains("number 0") && error.contains("number 5"),
        "{error}"
    );
}

#[tokio::test]
async fn a_ledger_shorter_than_a_known_number_is_refused_with_both_numbers() {
    let place = Place::with_entries(2).await;
    let ledger = place.open().await.expect("a ledger");
    ledger.require(2, "the backup").await.expect("long enough");
    let error = ledger.require(7, "the backup").await.expect_err("short");
    let error = error.to_string();
    assert!(
        error.contains("number 2") && error.contains("number 7"),
        "{error}"
    );
    assert!(error.contains("the backup"), "{error}");
}

#[tokio::test]
async fn a_copy_that_says_something_else_is_refused() {
    let place = Place::with_entries(3).await;
    let other = Place::with_entries(3).await;
    fs::write(
        place.copy("two"),
        fs::read(other.copy("two")).expect("a copy"),
    )
    .expect("written");
    let error = place.refusal().await;
    assert!(
        error.contains("two") && error.contains("line 1 "),
        "{error}"
    );
}

#[tokio::test]
async fn another_services_ledger_is_refused_and_another_stores_is_only_read() {
    let mut place = Place::with_entries(1).await;
    place.signer = Signer::random();
    let ledger = place.open().await.expect("readable");
    assert_eq!(ledger.last_number().await.expect("a number"), 1);
    let error = append(&ledger, 2).await.expect_err("another key");
    assert!(matches!(error, LedgerError::OtherKey { .. }), "{error}");

    place.identity.region = "ru-kazan".into();
    let error = place.refusal().await;
    assert!(
        error.contains("ru-moscow") && error.contains("ru-kazan"),
        "{error}"
    );
}

#[tokio::test]
async fn a_ledger_is_no_copy_of_itself() {
    let mut place = Place::new();
    place.config.copies.push(place.folder.path().join("own"));
    let error = place.open().await.err().expect("refused");
    assert!(matches!(error, LedgerError::CopyOfItself { .. }), "{error}");
}

#[tokio::test]
async fn a_ledger_that_loses_lines_while_open_is_noticed() {
    let place = Place::with_entries(3).await;
    let ledger = place.open().await.expect("a ledger");
    let lines = place.lines();
    place.replace(&lines[..3]);
    assert!(ledger.last_number().await.is_err());
    assert!(append(&ledger, 4).await.is_err());
}
