//! Backups that were edited, cut, or are another's.

use std::{fs, path::Path};

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use sea_orm::{ActiveValue::Set, EntityTrait};

use super::{backed_up, name};
use crate::custody::{
    CustodyError,
    backup::{
        BackupError, Blob,
        format::{Row, Trailer},
    },
    testing::{Place, thing},
};

/// Changes the lines of a backup, and seals them anew as far as one can who
/// does not have the key.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(path).expect("a backup");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let trailer = lines.pop().expect("a last line");
    let mut trailer: Trailer = serde_json::from_str(&trailer).expect("a trailer");
    change(&mut lines);
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    trailer.sha256 = Blob(digest(&SHA256, body.as_bytes()).as_ref().to_vec());
    trailer.rows.clear();
    for line in &lines[1..] {
        let row: Row = serde_json::from_str(line).expect("a row");
        *trailer.rows.entry(row.t).or_default() += 1;
    }
    let trailer = serde_json::to_string(&trailer).expect("a trailer");
    fs::write(path, format!("{body}{trailer}\n")).expect("written");
}

#[tokio::test]
async fn an_edited_backup_is_refused() {
    let place = Place::sqlite().await;
    let (custody, backup) = backed_up(&place).await;
    let whole = fs::read(&backup.path).expect("a backup");
    let refusal = async || {
        let error = custody.verify_backup_file(name(&backup.path)).await;
        match error.expect_err("refused") {
            CustodyError::Backup(BackupError::Damaged { detail, .. }) => detail,
            other => panic!("{other}"),
        }
    };

    // One who can only write the file cannot seal it.
    edit(&backup.path, |_| {});
    custody
        .verify_backup_file(name(&backup.path))
        .await
        .expect("nothing was changed");
    edit(&backup.path, |lines| lines.swap(5, 6));
    assert!(refusal().await.contains("sealed"));
    fs::write(&backup.path, &whole).expect("written");
    edit(&backup.path, |lines| drop(lines.remove(5)));
    assert!(refusal().await.contains("sealed"));
    fs::write(&backup.path, &whole).expect("written");
    edit(&backup.path, |lines| {
        lines[0] = lines[0].replace("\"ledger_number\":0", "\"ledger_number\":1");
    });
    assert!(refusal().await.contains("sealed"));

    // One bit anywhere.
    for at in [whole.len() / 3, whole.len() / 2, whole.len() - 10] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&backup.path, &flipped).expect("written");
        refusal().await;
    }

    // The end cut off, within a line and between two.
    fs::write(&backup.path, &whole[..whole.len() - 30]).expect("written");
    assert!(refusal().await.contains("cut off"));
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n');
    fs::write(&backup.path, &whole[..=last.expect("a line")]).expect("written");
    assert!(refusal().await.contains("cut off"));
    let mut longer = whole.clone();
    longer.extend_from_slice(b"{}\n");
    fs::write(&backup.path, &longer).expect("written");
    assert!(refusal().await.contains("followed by more"));
}

#[tokio::test]
async fn a_backup_of_another_is_refused_with_both_names() {
    let place = Place::sqlite().await;
    let (_, backup) = backed_up(&place).await;
    for field in ["region", "deployment", "service"] {
        let mut other = place.with_empty_store().await;
        match field {
            "region" => other.residency.region = "elsewhere".into(),
            "deployment" => other.residency.deployment = "elsewhere".into(),
            _ => other.service = "elsewhere",
        }
        other.erasure.ledger = other.folder.path().join(field).join("erasures.jsonl");
        other.erasure.copies.clear();
        let custody = other.open().await.expect("open");
        let error = custody
            .restore(name(&backup.path))
            .await
            .expect_err("refused");
        assert!(
            matches!(error, CustodyError::Backup(BackupError::OfAnother { .. })),
            "{error}"
        );
        let error = error.to_string();
        assert!(
            error.contains("elsewhere") && error.contains("a-svc of"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_missing_epoch_is_named() {
    let place = Place::sqlite().await;
    let (_, backup) = backed_up(&place).await;
    // Another machine, whose keyring begins later.
    let other = Place::sqlite().await;
    let now = Timestamp::UNIX_EPOCH;
    other.keyring.add_epoch(now).await.expect("an epoch");
    other.keyring.retire_epoch(1).await.expect("retired");
    let custody = other.open().await.expect("open");
    let folder = other.backup.folder.clone().expect("a folder");
    fs::create_dir_all(&folder).expect("a folder");
    fs::copy(&backup.path, folder.join(name(&backup.path))).expect("copied");
    let error = custody
        .restore(name(&backup.path))
        .await
        .expect_err("refused");
    assert!(
        matches!(
            error,
            CustodyError::Backup(BackupError::MissingEpoch { epoch: 1, .. })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("epoch 1"), "{error}");
}

#[tokio::test]
async fn a_row_that_does_not_open_is_told() {
    let place = Place::sqlite().await;
    let custody = place.open().await.expect("open");
    place.add_things(3).await;
    let row = place.rows().await.0.remove(0);
    thing::Entity::update(thing::ActiveModel {
        id: Set(row.id),
        wrapped_key: Set(vec![7; 60]),
        ..Default::default()
    })
    .exec(&place.db.read)
    .await
    .expect("a row");
    let error = custody.create_backup().await.expect_err("told");
    assert!(
        matches!(
            error,
            CustodyError::Backup(BackupError::Unopened { rows: 1, .. })
        ),
        "{error}"
    );
    let kept = custody.list_backups().await.expect("a list");
    assert_eq!(kept.len(), 1);
    assert!(kept[0].verified_at.is_none());
}

#[tokio::test]
async fn nothing_outside_the_folder_is_read() {
    let place = Place::sqlite().await;
    let (custody, backup) = backed_up(&place).await;
    let outside = place.folder.path().join("outside.backup");
    fs::copy(&backup.path, &outside).expect("copied");
    for path in [
        "../outside.backup",
        outside.to_str().expect("text"),
        "absent",
        ".",
    ] {
        let error = custody.verify_backup_file(Path::new(path)).await;
        let error = error.expect_err("refused");
        assert!(
            matches!(error, CustodyError::Backup(BackupError::Elsewhere { .. })),
            "{path}: {error}"
        );
    }
    let absolute = custody.verify_backup_file(&backup.path).await;
    assert_eq!(absolute.expect("in the folder").id, backup.id);
    let files = fs::read_dir(place.backup.folder.as_ref().expect("a folder"));
    assert_eq!(files.expect("a list").count(), 1, "no draft is left");
}
