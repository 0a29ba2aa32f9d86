//! Epochs that come and go, by our hand, an operator's or a crash's.

use std::{
    fs,
    io::{Read, Seek},
    os::unix::fs::{PermissionsExt, symlink},
    time::Duration,
};

use super::{Place, encoded, time};
use crate::{
    config::KeyringConfig,
    keyring::{Keyring, KeyringError},
    shutdown::Shutdown,
};

const MONDAY: &str = "2026-11-23T06:00:00Z";

#[tokio::test]
async fn a_new_epoch_is_current_and_survives() {
    let place = Place::new();
    let keyring = place.make().await;
    let clone = keyring.clone();
    let (key, first) = keyring.new_data_key(b"row").expect("wrapped");

    assert_eq!(keyring.add_epoch(time(MONDAY)).await.expect("added"), 2);
    assert_eq!(clone.epochs(), [1, 2]);
    assert_eq!(clone.current().created_at, time(MONDAY));
    let rewrapped = clone.rewrap(&first, b"row").expect("opened");
    let rewrapped = rewrapped.expect("of an older epoch");
    assert_eq!(rewrapped.epoch, 2);

    let reopened = place.open().await;
    assert_eq!(reopened.epochs(), [1, 2]);
    assert_eq!(reopened.current().created_at, time(MONDAY));
    for wrapped in [&first, &rewrapped] {
        let opened = reopened.unwrap(wrapped, b"row").expect("opened");
        assert_eq!(opened.expose(), key.expose());
    }
}

#[tokio::test]
async fn a_retired_epoch_is_gone_from_file_and_memory() {
    let place = Place::new();
    let keyring = place.make().await;
    let (_, wrapped) = keyring.new_data_key(b"row").expect("wrapped");
    let secrets = [
        encoded(&keyring.current().kek),
        encoded(&keyring.current().lookup),
    ];
    let mut first_file = fs::File::open(&place.config.path).expect("the file");
    keyring.add_epoch(time(MONDAY)).await.expect("added");
    let mut second_file = fs::File::open(&place.config.path).expect("the file");
    assert!(place.text().contains(&secrets[0]));

    assert!(matches!(
        keyring.retire_epoch(2).await,
        Err(KeyringError::Current(2))
    ));
    let clone = keyring.clone();
    keyring.retire_epoch(1).await.expect("retired");
    keyring.retire_epoch(1).await.expect("again");
    assert_eq!(clone.epochs(), [2]);
    for keyring in [clone, place.open().await] {
        assert!(matches!(
            keyring.unwrap(&wrapped, b"row"),
            Err(KeyringError::MissingEpoch(1))
        ));
    }
    // Nor do the files that were replaced hold it, for whoever kept them open.
    for file in [&mut first_file, &mut second_file] {
        let mut bytes = Vec::new();
        file.rewind().expect("the start");
        file.read_to_end(&mut bytes).expect("read");
        assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0));
    }
    for entry in fs::read_dir(place.folder.path().join("keys")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a file");
        for secret in &secrets {
            assert!(!text.contains(secret), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn what_a_crash_left_is_ignored_and_wiped() {
    let place = Place::new();
    let keyring = place.make().await;
    let before = place.text();
    fs::write(place.beside("draft"), "half a keyr").expect("written");
    fs::write(place.beside("retired"), "an old one").expect("written");
    let mut retired = fs::File::open(place.beside("retired")).expect("a file");
    assert_eq!(place.open().await.epochs(), [1]);
    assert!(!place.beside("draft").exists() && !place.beside("retired").exists());
    let mut text = String::new();
    retired.read_to_string(&mut text).expect("read");
    assert_eq!(text, "\0".repeat("an old one".len()));
    assert_eq!(place.text(), before);

    // Between linking and renaming, the old name is the live file's.
    for extension in ["retired", "draft"] {
        fs::hard_link(&place.config.path, place.beside(extension)).expect("linked");
        assert_eq!(place.open().await.epochs(), [1]);
        assert!(!place.beside(extension).exists());
        assert_eq!(place.text(), before);
    }
    assert_eq!(keyring.add_epoch(time(MONDAY)).await.expect("added"), 2);
}

#[tokio::test]
async fn another_replicas_epoch_is_found_when_it_is_met() {
    let place = Place::new();
    let one = place.make().await;
    let other = place.open().await;
    one.add_epoch(time(MONDAY)).await.expect("added");
    let (key, wrapped) = one.new_data_key(b"row").expect("wrapped");
    assert_eq!(other.epochs(), [1]);
    let opened = other.unwrap(&wrapped, b"row").expect("found");
    assert_eq!(opened.expose(), key.expose());
    assert_eq!(other.epochs(), [1, 2]);

    // Neither loses what the other adds.
    assert_eq!(other.add_epoch(time(MONDAY)).await.expect("added"), 3);
    assert_eq!(one.add_epoch(time(MONDAY)).await.expect("added"), 4);
    assert_eq!(place.open().await.epochs(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_keys() {
    let place = Place::new();
    let keyring = place.make().await;
    let good = place.text();
    keyring.add_epoch(time(MONDAY)).await.expect("added");
    let stranger = Place::new();
    let strangers = stranger.make().await;
    strangers.add_epoch(time(MONDAY)).await.expect("added");

    place.write("{");
    assert!(keyring.reload().await.is_err());
    place.write(&good);
    let error = keyring.reload().await.expect_err("an older file");
    assert!(matches!(
        error,
        KeyringError::Older {
            found: 1,
            current: 2,
            ..
        }
    ));
    place.write(&stranger.text());
    let error = keyring.reload().await.expect_err("other keys");
    assert!(matches!(error, KeyringError::Replaced { epoch: 1, .. }));
    assert_eq!(keyring.epochs(), [1, 2]);
    assert!(keyring.epoch(2).is_ok() && keyring.epoch(3).is_err());
}

#[tokio::test]
async fn a_mounted_secret_is_the_operators_to_change() {
    let mut place = Place::new();
    place.make().await;
    place.config.managed = false;
    let keyring = place.open().await;
    let before = place.text();
    for (error, action) in [
        (
            keyring.add_epoch(time(MONDAY)).await.err(),
            "add one with id 2",
        ),
        (keyring.retire_epoch(1).await.err(), "retire epoch 1"),
    ] {
        let error = error.expect("refused").to_string();
        assert!(
            error.contains(action) && error.contains("keyring.managed"),
            "{error}"
        );
    }
    assert_eq!(place.text(), before);
}

#[tokio::test]
async fn the_watch_follows_a_mounted_secret() {
    let place = Place::new();
    let mounted = place.folder.path().join("mount");
    fs::create_dir(&mounted).expect("a folder");
    // As Kubernetes mounts: the file leads through a link to one version's folder.
    let publish = |version: &str, text: &str| {
        let folder = mounted.join(version);
        fs::create_dir(&folder).expect("a folder");
        let file = folder.join("keyring.json");
        fs::write(&file, text).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).expect("chmod");
        symlink(version, mounted.join("new")).expect("a link");
        fs::rename(mounted.join("new"), mounted.join("data")).expect("swapped");
    };
    let operator = place.make().await;
    publish("1", &place.text());
    symlink("data/keyring.json", mounted.join("keyring.json")).expect("a link");
    let config = KeyringConfig {
        managed: false,
        allow_group_read: true,
        ..KeyringConfig::at(mounted.join("keyring.json"))
    };
    let keyring = Keyring::open("a-svc", &config).await.expect("read");
    let shutdown = Shutdown::new();
    let watch = tokio::spawn(keyring.clone().watch(shutdown.clone()));

    operator.add_epoch(time(MONDAY)).await.expect("added");
    publish("2", &place.text());
    until(|| keyring.epochs() == [1, 2]).await;
    operator.retire_epoch(1).await.expect("retired");
    publish("3", &place.text());
    until(|| keyring.epochs() == [2]).await;
    assert!(keyring.epoch(1).is_err());
    shutdown.cancel();
    watch.await.expect("ended");
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within a minute");
}
