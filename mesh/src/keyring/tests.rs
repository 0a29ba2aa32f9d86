mod changes;
mod transit;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::SystemClock;

/// A folder and the configuration of a keyring in it.
struct Place {
    config: KeyringConfig,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            config: KeyringConfig::at(folder.path().join("keys/keyring.json")),
            folder,
        }
    }

    async fn make(&self) -> Keyring {
        Keyring::open_or_create("a-svc", &self.config, &SystemClock)
            .await
            .expect("made")
    }

    async fn open(&self) -> Keyring {
        Keyring::open("a-svc", &self.config).await.expect("read")
    }

    async fn refusal(&self) -> String {
        let error = Keyring::open("a-svc", &self.config).await.err();
        error.expect("refused").to_string()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.config.path).expect("the file")
    }

    /// Puts a text in the file's place, as an operator would.
    fn write(&self, text: &str) {
        fs::write(&self.config.path, text).expect("written");
        self.chmod(0o600);
    }

    fn chmod(&self, mode: u32) {
        fs::set_permissions(&self.config.path, Permissions::from_mode(mode)).expect("chmod");
    }

    fn beside(&self, extension: &str) -> std::path::PathBuf {
        self.config.path.with_extension(extension)
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// How the file would hold a key.
fn encoded(key: &Key) -> String {
    STANDARD.encode(key.expose())
}

#[tokio::test]
async fn it_is_made_once_and_private() {
    let place = Place::new();
    let first = place.make().await;
    let second = place.make().await;
    assert_eq!(first.current().kek.expose(), second.current().kek.expose());
    assert_eq!(first.current().created_at, second.current().created_at);
    let mode = fs::metadata(&place.config.path).expect("metadata").mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(!place.beside("draft").exists());
    let again = Keyring::create("a-svc", &place.config.path, Timestamp::UNIX_EPOCH);
    assert!(again.is_err());
    assert!(!place.beside("draft").exists());
    assert_eq!(place.open().await.epochs(), [1]);
}

#[tokio::test]
async fn one_that_others_can_read_is_refused() {
    let mut place = Place::new();
    place.make().await;
    place.chmod(0o640);
    assert!(place.refusal().await.contains("0640"));
    place.config.allow_group_read = true;
    place.open().await;
    place.chmod(0o644);
    place.refusal().await;
}

#[tokio::test]
async fn another_services_keyring_is_refused() {
    let place = Place::new();
    place.make().await;
    let error = Keyring::open("b-svc", &place.config).await.err();
    assert!(error.expect("refused").to_string().contains("a-svc"));
}

#[tokio::test]
async fn a_wrapped_key_is_bound_to_its_row() {
    let place = Place::new();
    let keyring = place.make().await;
    let (key, wrapped) = keyring.new_data_key(b"row 1").expect("wrapped");
    let opened = keyring.unwrap(&wrapped, b"row 1").expect("unwrapped");
    assert_eq!(opened.expose(), key.expose());
    assert!(keyring.unwrap(&wrapped, b"row 2").is_err());
    assert_eq!(keyring.rewrap(&wrapped, b"row 1").expect("current"), None);
    let absent = WrappedKey {
        epoch: 7,
        ..wrapped
    };
    let error = keyring.unwrap(&absent, b"row 1").err();
    assert!(error.expect("no such").to_string().contains("epoch 7"));
}

#[tokio::test]
async fn a_wrapped_key_is_bound_to_its_epoch() {
    let place = Place::new();
    let keyring = place.make().await;
    let (key, wrapped) = keyring.new_data_key(b"row").expect("wrapped");
    keyring
        .add_epoch(time("2026-11-24T06:00:00Z"))
        .await
        .expect("added");
    assert_eq!(keyring.epochs(), [1, 2]);
    let moved = WrappedKey {
        epoch: 2,
        ..wrapped.clone()
    };
    assert!(keyring.unwrap(&moved, b"row").is_err());
    let opened = keyring.unwrap(&wrapped, b"row").expect("unwrapped");
    assert_eq!(opened.expose(), key.expose());
    // By its context, were the keys of both epochs the same.
    let kek = keyring.epoch(1).expect("the first").kek;
    let open = |epoch| kek.open(&wrapped.sealed, &wrap_context(epoch, b"row"));
    assert!(open(1).is_ok());
    assert!(open(2).is_err());
}

#[tokio::test]
async fn version_1_is_read_and_written_as_version_2() {
    let place = Place::new();
    let old = place.make().await.current();
    place.write(&format!(
        "{{\"version\":1,\"service\":\"a-svc\",\"epochs\":[{{\"id\":1,\"kek\":\"{}\",\"lookup\":\"{}\"}}]}}",
        encoded(&old.kek),
        encoded(&old.lookup),
    ));
    let written = fs::metadata(&place.config.path).expect("metadata");
    let written = Timestamp::new(written.mtime(), 0).expect("a time");

    let keyring = place.open().await;
    let epoch = keyring.current();
    assert_eq!(epoch.kek.expose(), old.kek.expose());
    assert_eq!(epoch.lookup.expose(), old.lookup.expose());
    assert_eq!(epoch.created_at.as_second(), written.as_second());
    keyring
        .add_epoch(time("2026-11-24T06:00:00Z"))
        .await
        .expect("added");
    assert!(place.text().contains("\"version\": 2"));
    let again = place.open().await.epoch(1).expect("the first");
    assert_eq!(again.created_at, epoch.created_at);
}

#[tokio::test]
async fn a_mounted_secret_is_never_made() {
    let mut place = Place::new();
    place.config.managed = false;
    let error = Keyring::open_or_create("a-svc", &place.config, &SystemClock).await;
    let error = error.err().expect("absent").to_string();
    assert!(
        error.contains("propctl dev keyring --service a-svc"),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(place.folder.path()).expect("a folder").count(),
        0
    );
}
