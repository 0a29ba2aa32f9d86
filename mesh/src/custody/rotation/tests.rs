use std::{
    fs,
    path::{Path, PathBuf},
};

use sea_orm::{ActiveValue::Set, EntityTrait};

use super::*;
use crate::{
    Clock, SystemClock,
    custody::{
        BackupError,
        backup::Backup,
        testing::{Place, on_each_database, thing},
    },
    keyring::{Keyring, KeyringError},
};

/// A store of some rows under epoch 1, and a backup kept aside.
async fn prepared(place: &Place) -> (Custody, Backup, PathBuf) {
    let custody = place.open().await.expect("open");
    place.add_things(40).await;
    let backup = custody.create_backup().await.expect("a backup");
    let aside = place.keep_aside(&backup.path);
    (custody, backup, aside)
}

/// Everything is under epoch 2, and nothing of epoch 1 can be read.
async fn is_over(place: &Place, custody: &Custody, aside: &Path) {
    let status = custody.key_status().await.expect("a status");
    let epochs: Vec<i64> = status.epochs.iter().map(|epoch| epoch.id).collect();
    assert_eq!(epochs, [2]);
    assert!(status.epochs[0].current && !status.rotating && status.stale.is_empty());
    // 40 things, the key of backups and the key of receipts.
    assert_eq!(status.epochs[0].references, 42);
    place.read_things().await;
    assert_eq!(custody.verify().await.expect("tried"), 0);
    assert!(place.ended().contains(&1));

    let backups = custody.list_backups().await.expect("a list");
    assert!(!backups.is_empty());
    assert!(backups.iter().all(|backup| backup.epoch == 2));
    custody.verify_backup(backups[0].id).await.expect("whole");

    let error = custody.verify_backup_file(aside).await.expect_err("ended");
    assert!(
        matches!(
            error,
            CustodyError::Backup(BackupError::MissingEpoch { epoch: 1, .. })
        ),
        "{error}"
    );
}

async fn a_new_epoch_ends_the_old_one(place: Place) {
    let (custody, backup, aside) = prepared(&place).await;
    let done = custody.rotate(1).await.expect("rotated");
    assert_eq!((done.rewrapped, done.destroyed), (42, vec![1]));
    assert!(done.backup.is_some() && done.backup != Some(backup.id));
    assert!(!backup.path.exists());
    is_over(&place, &custody, &aside).await;

    // The same request again finds it done.
    let again = custody.rotate(1).await.expect("done");
    assert_eq!((again.rewrapped, again.backup), (0, done.backup));
    assert_eq!(place.keyring.epochs(), [2]);
    let error = custody.rotate(9).await.expect_err("no such epoch");
    assert!(
        matches!(error, CustodyError::InvalidField { .. }),
        "{error}"
    );

    // What the new backup holds is the store.
    let kept = custody.list_backups().await.expect("a list");
    let fresh = place.with_empty_store().await;
    let other = fresh.open().await.expect("open");
    other.restore(&kept[0].path).await.expect("restored");
    assert_eq!(fresh.rows().await, place.rows().await);
}

/// Each step by hand, then a crash, then the same request.
async fn what_was_interrupted_goes_on(place: Place) {
    for steps in 1..=6 {
        let place = if steps == 1 {
            place.again()
        } else {
            place.anew().await
        };
        let (custody, _, aside) = prepared(&place).await;
        let hold = custody.hold().await.expect("alone");
        custody.begin().await.expect("an epoch");
        if steps == 2 {
            custody.rewrap_own().await.expect("moved");
            let moved = custody.inner.custodian.rewrap(15).await;
            assert_eq!(moved.expect("moved"), 15);
        }
        if steps >= 3 {
            assert_eq!(custody.rewrap_all(&hold).await.expect("moved"), 42);
        }
        if steps == 4 {
            // A backup, and the old ones not yet deleted.
            custody.take_backup().await.expect("a backup");
        }
        if steps >= 5 {
            custody.secure(&hold).await.expect("a backup");
        }
        if steps >= 6 {
            let (destroyed, _) = custody.retire(&hold).await.expect("retired");
            assert_eq!(destroyed, [1]);
        }
        hold.release().await;
        drop(custody);
        // Rows can be read wherever it stopped, and new ones come.
        let place = place.restarted().await;
        place.read_things().await;
        let custody = place.open().await.expect("open");
        custody.rotate(1).await.expect("the rest");
        is_over(&place, &custody, &aside).await;
    }
}

async fn it_goes_on_by_itself_after_a_start(place: Place) {
    let (custody, _, aside) = prepared(&place).await;
    custody.begin().await.expect("an epoch");
    assert!(custody.key_status().await.expect("a status").rotating);
    let place = place.restarted().await;
    let custody = place.open().await.expect("open");
    custody.look_after_keys().await.expect("looked after");
    is_over(&place, &custody, &aside).await;
}

async fn one_thing_at_a_time(place: Place) {
    let (custody, ..) = prepared(&place).await;
    let hold = custody.hold().await.expect("alone");
    for refused in [
        custody.rotate(1).await.err(),
        custody.create_backup().await.err(),
    ] {
        assert!(matches!(refused, Some(CustodyError::Busy)));
    }
    hold.release().await;
    custody.create_backup().await.expect("a backup");
}

on_each_database!(
    a_new_epoch_ends_the_old_one,
    what_was_interrupted_goes_on,
    it_goes_on_by_itself_after_a_start,
    one_thing_at_a_time,
);

#[tokio::test]
async fn a_key_that_does_not_open_is_never_destroyed() {
    let place = Place::sqlite().await;
    let (custody, backup, _) = prepared(&place).await;
    let row = place.rows().await.0.remove(0);
    thing::Entity::update(thing::ActiveModel {
        id: Set(row.id),
        wrapped_key: Set(vec![7; 60]),
        ..Default::default()
    })
    .exec(&place.db.read)
    .await
    .expect("a row");
    let error = custody.rotate(1).await.expect_err("stuck");
    assert!(
        matches!(&error, CustodyError::Stuck { epochs, rows: 1 } if *epochs == [1]),
        "{error}"
    );
    assert_eq!(place.keyring.epochs(), [1, 2]);
    assert!(backup.path.exists());

    // Gone, as an erasure would have it, the rest goes on.
    thing::Entity::delete_by_id(row.id)
        .exec(&place.db.read)
        .await
        .expect("gone");
    let done = custody.rotate(1).await.expect("rotated");
    assert_eq!(done.destroyed, [1]);
}

#[tokio::test]
async fn without_backups_every_key_is_tried() {
    let mut place = Place::sqlite().await;
    place.backup.folder = None;
    let custody = place.open().await.expect("open");
    place.add_things(5).await;
    let error = custody.create_backup().await.expect_err("no folder");
    assert!(matches!(
        error,
        CustodyError::Backup(BackupError::NotConfigured)
    ));
    let done = custody.rotate(1).await.expect("rotated");
    assert_eq!((done.backup, done.destroyed), (None, vec![1]));
    assert_eq!(place.ended(), [1]);

    // A row that opens no more stops the next one before it destroys.
    let row = place.rows().await.0.remove(0);
    thing::Entity::update(thing::ActiveModel {
        id: Set(row.id),
        epoch: Set(3),
        wrapped_key: Set(vec![7; 60]),
        ..Default::default()
    })
    .exec(&place.db.read)
    .await
    .expect("a row");
    let error = custody.rotate(2).await.expect_err("stopped");
    assert!(matches!(error, CustodyError::Unopened(1)), "{error}");
    assert_eq!(place.keyring.epochs(), [2, 3]);
}

#[tokio::test]
async fn where_an_operator_changes_the_keys_they_are_told_when() {
    let place = Place::sqlite().await;
    let operator = place.keyring.clone();
    let mut mounted = place.again();
    mounted.keys.managed = false;
    let mounted = mounted.restarted().await;
    let (custody, _, aside) = prepared(&mounted).await;
    let error = custody.rotate(1).await.expect_err("not its own");
    assert!(
        matches!(
            error,
            CustodyError::Keyring(KeyringError::NotManaged { .. })
        ),
        "{error}"
    );

    let added = operator.add_epoch(SystemClock.now()).await;
    assert_eq!(added.expect("an epoch"), 2);
    read_again(&mounted.keyring);
    custody.look_after_keys().await.expect("rewrapped");
    let status = custody.key_status().await.expect("a status");
    assert!(!status.managed && !status.rotating);
    assert_eq!(status.stale, [1]);
    assert_eq!(status.epochs[1].references, 42);
    assert!(mounted.ended().is_empty());
    custody.verify_backup_file(&aside).await.expect("still");

    operator.retire_epoch(1).await.expect("removed");
    read_again(&mounted.keyring);
    custody.look_after_keys().await.expect("told");
    is_over(&mounted, &custody, &aside).await;
}

/// What the watch does every second.
fn read_again(keyring: &Keyring) {
    assert!(keyring.epoch(i64::MAX).is_err());
}

#[tokio::test]
async fn an_old_epoch_is_followed_by_itself() {
    let place = Place::sqlite().await;
    let custody = place.open().await.expect("open");
    place.add_things(2).await;
    custody.look_after_keys().await.expect("looked after");
    assert_eq!(place.keyring.epochs(), [1], "it is young");

    let text = fs::read_to_string(&place.keys.path).expect("a keyring");
    let year = &text[text.find("\"created_at\"").expect("a time")..];
    let at = year.find("20").expect("a year");
    let old = year[at..].split('"').next().expect("a time");
    fs::write(&place.keys.path, text.replace(old, "2020-01-01T00:00:00Z")).expect("written");
    let place = place.restarted().await;
    let custody = place.open().await.expect("open");
    custody.look_after_keys().await.expect("looked after");
    assert_eq!(place.keyring.epochs(), [2]);
}
