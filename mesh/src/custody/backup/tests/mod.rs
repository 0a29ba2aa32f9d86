mod refused;

use std::{fs, path::Path, sync::atomic::Ordering};

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, EntityTrait};
use uuid::Uuid;

use super::BackupError;
use crate::{
    custody::{
        Custody, CustodyError, LedgerError,
        testing::{Place, on_each_database, version},
    },
    db::named_key,
};

/// An open store of some rows, and a backup of it.
async fn backed_up(place: &Place) -> (Custody, super::Backup) {
    let custody = place.open().await.expect("open");
    place.add_things(21).await;
    let backup = custody.create_backup().await.expect("a backup");
    (custody, backup)
}

async fn erase(custody: &Custody, id: u128) {
    let at = Timestamp::from_second(1_700_000_000).expect("a time");
    let ledger = custody.ledger().expect("a ledger");
    ledger
        .append(Uuid::from_u128(id), Uuid::from_u128(id), at)
        .await
        .expect("an entry");
}

fn name(path: &Path) -> &Path {
    Path::new(path.file_name().expect("a name"))
}

async fn comes_back_as_it_was(place: Place) {
    let (custody, backup) = backed_up(&place).await;
    version::Entity::update(version::ActiveModel {
        id: Set(1),
        version: Set(77),
    })
    .exec(&place.db.read)
    .await
    .expect("a row");
    let backup = {
        custody.verify_backup(backup.id).await.expect("whole");
        custody.create_backup().await.expect("another")
    };
    assert!(backup.verified_at.is_some());
    assert_eq!(
        backup.size_bytes,
        fs::metadata(&backup.path).expect("a file").len()
    );

    let fresh = place.with_empty_store().await;
    let other = fresh.open().await.expect("an empty store");
    let restored = other.restore(name(&backup.path)).await.expect("restored");
    assert_eq!((restored.id, restored.rows), (backup.id, backup.rows));
    assert_eq!(fresh.rows().await, place.rows().await);
    assert_eq!(fresh.rows().await.0.len(), 21);
    assert_eq!(fresh.restarts.load(Ordering::SeqCst), 1);
    let row = version::Entity::find_by_id(1).one(&fresh.db.read).await;
    assert_eq!(row.expect("asked").map(|row| row.version), Some(77));
    for place in [&fresh, &place] {
        let keys = named_key::entity::Entity::find().all(&place.db.read).await;
        assert_eq!(keys.expect("rows").len(), 1);
    }

    // The next start has the old store's keys, and new rows find their place.
    let again = fresh.open().await.expect("open");
    assert_eq!(again.jwks(), custody.jwks());
    fresh.read_things().await;
    assert_eq!(fresh.add_change("new").await, 22);
    again.create_backup().await.expect("a backup of it");
}

async fn goes_on_while_rows_come(place: Place) {
    let custody = place.open().await.expect("open");
    place.add_things(30).await;
    let writing = place.add_things(60);
    let (backup, ()) = tokio::join!(custody.create_backup(), writing);
    let backup = backup.expect("a backup");
    custody.verify_backup(backup.id).await.expect("whole");
}

async fn is_refused_by_a_store_with_rows(place: Place) {
    let (custody, backup) = backed_up(&place).await;
    let error = custody
        .restore(name(&backup.path))
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("things"), "{error}");
    assert_eq!(place.restarts.load(Ordering::SeqCst), 0);
    assert_eq!(place.rows().await.0.len(), 21);
}

async fn leaves_nothing_behind_when_it_fails(place: Place) {
    let (_, backup) = backed_up(&place).await;
    let fresh = place.with_empty_store().await;
    let other = fresh.open().await.expect("open");
    let jwks = other.jwks();
    let expected = other.expected();
    let mut verified = expected.verify(&backup.path).await.expect("whole");
    // As if the file had been changed between its two readings.
    verified.sha256[0] ^= 1;
    let failed: Result<(), CustodyError> = fresh
        .db
        .writer
        .write(move |txn| {
            futures::FutureExt::boxed(async move {
                super::restore::fill(txn, &expected, &verified).await
            })
        })
        .await;
    let failed = failed.expect_err("refused");
    assert!(
        matches!(failed, CustodyError::Backup(BackupError::Changed)),
        "{failed}"
    );
    assert!(fresh.rows().await.0.is_empty());
    assert_eq!(fresh.open().await.expect("open").jwks(), jwks);
}

async fn brings_back_no_one_who_was_erased_since(place: Place) {
    let custody = place.open().await.expect("open");
    erase(&custody, 1).await;
    let backup = custody.create_backup().await.expect("a backup");
    assert!(
        custody
            .erasures_to_replay()
            .await
            .expect("asked")
            .is_empty()
    );
    erase(&custody, 2).await;
    erase(&custody, 3).await;

    let fresh = place.with_empty_store().await;
    let other = fresh.open().await.expect("open");
    other.restore(name(&backup.path)).await.expect("restored");
    let again = fresh.open().await.expect("open");
    let replay = again.erasures_to_replay().await.expect("asked");
    let ids: Vec<Uuid> = replay.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [Uuid::from_u128(2), Uuid::from_u128(3)]);
    again.erasures_replayed().await.expect("done");
    assert!(again.erasures_to_replay().await.expect("asked").is_empty());
    // The key is back with which this ledger was begun.
    erase(&again, 4).await;
}

async fn asks_for_the_ledger_it_knows_of(place: Place) {
    let custody = place.open().await.expect("open");
    erase(&custody, 1).await;
    erase(&custody, 2).await;
    let backup = custody.create_backup().await.expect("a backup");
    let mut fresh = place.with_empty_store().await;
    fresh.erasure.ledger = fresh.folder.path().join("new/erasures.jsonl");
    fresh.erasure.copies.clear();
    let other = fresh.open().await.expect("open");
    let error = other
        .restore(name(&backup.path))
        .await
        .expect_err("refused");
    assert!(
        matches!(
            error,
            CustodyError::Ledger(LedgerError::Short {
                found: 0,
                known: 2,
                ..
            })
        ),
        "{error}"
    );
}

on_each_database!(
    comes_back_as_it_was,
    goes_on_while_rows_come,
    is_refused_by_a_store_with_rows,
    leaves_nothing_behind_when_it_fails,
    brings_back_no_one_who_was_erased_since,
    asks_for_the_ledger_it_knows_of,
);

#[tokio::test]
async fn each_database_takes_the_others() {
    for (from, to) in [
        (Place::sqlite().await, Place::postgres().await),
        (Place::postgres().await, Place::sqlite().await),
    ] {
        let (_, backup) = backed_up(&from).await;
        let target = from.with_store(to.db.clone());
        let custody = target.open().await.expect("open");
        custody.restore(name(&backup.path)).await.expect("restored");
        assert_eq!(target.rows().await, from.rows().await);
        assert_eq!(target.add_change("new").await, 22);
    }
}
