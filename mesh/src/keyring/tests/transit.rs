//! Keyrings whose keys Transit wraps.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use transit_stand_in::{MOUNT, StandIn};

use super::{Place, encoded, time};
use crate::{
    config::{KeyringConfig, TransitConfig},
    keyring::{Keyring, KeyringError},
};

const MONDAY: &str = "2026-11-23T06:00:00Z";

fn config(server: &StandIn) -> TransitConfig {
    TransitConfig {
        endpoint: server.endpoint().into(),
        key: "a-svc".into(),
        mount: MOUNT.into(),
        token_path: server.token_path(),
        ca_path: None,
    }
}

/// A keyring's place, wrapped by the server.
fn wrapped_by(server: &StandIn) -> Place {
    let mut place = Place::new();
    place.config.transit = Some(config(server));
    place
}

#[tokio::test]
async fn the_file_holds_no_key_and_a_start_costs_a_call_an_epoch() {
    let server = StandIn::start("a-svc").await;
    let place = wrapped_by(&server);
    let keyring = place.make().await;
    assert!(place.text().contains("vault:v1:"));
    assert!(!place.text().contains(&encoded(&keyring.current().kek)));
    assert!(!place.text().contains(&encoded(&keyring.current().lookup)));
    let (key, wrapped) = keyring.new_data_key(b"row").expect("wrapped");
    assert_eq!(keyring.add_epoch(time(MONDAY)).await.expect("added"), 2);
    assert!(place.text().contains("vault:v2:"));

    server.key().calls.clear();
    let reopened = place.open().await;
    assert_eq!(server.key().calls.get("decrypt"), Some(&2));
    let opened = reopened.unwrap(&wrapped, b"row").expect("opened");
    assert_eq!(opened.expose(), key.expose());
}

#[tokio::test]
async fn a_retired_epoch_opens_from_no_copy_of_the_file() {
    let server = StandIn::start("a-svc").await;
    let place = wrapped_by(&server);
    let keyring = place.make().await;
    keyring.add_epoch(time(MONDAY)).await.expect("added");
    let copy = place.text();
    keyring.retire_epoch(1).await.expect("retired");
    assert_eq!(keyring.epochs(), [2]);
    assert_eq!(server.versions(), [2]);

    assert_eq!(place.open().await.epochs(), [2]);
    place.write(&copy);
    assert!(place.refusal().await.contains("too old"));
}

#[tokio::test]
async fn epochs_under_one_version_are_parted() {
    let server = StandIn::start("a-svc").await;
    // Both under version 1, as where Transit came later than the file.
    let mut place = Place::new();
    let plain = place.make().await;
    plain.add_epoch(time(MONDAY)).await.expect("added");
    let second = plain.current();
    place.config.transit = Some(config(&server));
    let keyring = place.open().await;
    assert_eq!(keyring.add_epoch(time(MONDAY)).await.expect("added"), 3);
    assert!(!place.text().contains(&encoded(&second.kek)));
    let copy = place.text();

    keyring.retire_epoch(1).await.expect("retired");
    assert_eq!(keyring.epochs(), [2, 3]);
    let kept = place.open().await.epoch(2).expect("kept");
    assert_eq!(kept.kek.expose(), second.kek.expose());
    assert_eq!(server.versions(), [3]);
    place.write(&copy);
    assert!(place.refusal().await.contains("too old"));
}

#[tokio::test]
async fn a_trim_that_failed_is_made_good() {
    let server = StandIn::start("a-svc").await;
    let place = wrapped_by(&server);
    let keyring = place.make().await;
    keyring.add_epoch(time(MONDAY)).await.expect("added");
    for operation in ["config", "trim"] {
        server.key().forbidden = Some(operation);
        let error = keyring.retire_epoch(1).await.expect_err("forbidden");
        let error = error.to_string();
        assert!(
            error.contains(operation) && error.contains("permission denied"),
            "{error}"
        );
        // Gone from the file all the same, and a start is not in its way.
        assert_eq!(place.open().await.epochs(), [2]);
    }
    server.key().forbidden = None;
    place.open().await;
    assert_eq!(server.versions(), [2]);
    keyring.settle().await.expect("nothing left to do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replicas_epoch_is_found_when_it_is_met() {
    let server = StandIn::start("a-svc").await;
    let place = wrapped_by(&server);
    let one = place.make().await;
    let other = place.open().await;
    one.add_epoch(time(MONDAY)).await.expect("added");
    let (_, wrapped) = one.new_data_key(b"row").expect("wrapped");
    assert!(other.unwrap(&wrapped, b"row").is_ok());
    assert_eq!(other.epochs(), [1, 2]);

    // Where Transit does not answer, the caller is told what is missing.
    one.add_epoch(time(MONDAY)).await.expect("added");
    server.key().forbidden = Some("decrypt");
    assert!(matches!(other.epoch(3), Err(KeyringError::MissingEpoch(3))));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = StandIn::start("a-svc").await;
    let mut place = wrapped_by(&server);
    place.make().await;
    place.config.transit = None;
    assert!(place.refusal().await.contains("[keyring.transit]"));

    let refusal = async |change: &dyn Fn(&mut TransitConfig)| {
        let mut transit = config(&server);
        change(&mut transit);
        let config = KeyringConfig {
            transit: Some(transit),
            ..place.config.clone()
        };
        let error = Keyring::open("a-svc", &config).await.err();
        error.expect("refused").to_string()
    };
    let token = place.folder.path().join("token");
    fs::write(&token, "guessed").expect("written");
    let exposed = refusal(&|transit| transit.token_path = token.clone()).await;
    assert!(exposed.contains("others can read it"), "{exposed}");
    fs::set_permissions(&token, Permissions::from_mode(0o600)).expect("chmod");
    let guessed = refusal(&|transit| transit.token_path = token.clone()).await;
    assert!(guessed.contains("permission denied"), "{guessed}");
    assert!(!guessed.contains("guessed"), "{guessed}");

    let clear = refusal(&|transit| transit.endpoint = "http://vault.example".into()).await;
    assert!(clear.contains("https://"), "{clear}");
    let away = refusal(&|transit| transit.endpoint = "http://127.0.0.1:1".into()).await;
    assert!(away.contains("does not answer"), "{away}");
    let unknown = refusal(&|transit| transit.key = "b-svc".into()).await;
    assert!(unknown.contains("404"), "{unknown}");
}
