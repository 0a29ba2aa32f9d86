//! An empty store in a folder of its own.

use mesh::{
    SystemClock,
    config::{DatabaseConfig, KeyringConfig},
    db,
    keyring::Keyring,
    shutdown::Shutdown,
};
use tempfile::TempDir;

use super::{Store, migration::Migrator};

pub(super) async fn store() -> (Store, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = KeyringConfig::at(folder.path().join("keyring.json"));
    let keyring = Keyring::open_or_create("biometric-svc", &keys, &SystemClock)
        .await
        .expect("a keyring");
    let config = DatabaseConfig {
        url: format!("sqlite://{}", folder.path().join("x.db").display()),
        max_connections: 2,
        allow_plaintext_for_development: false,
    };
    let db = db::open::<Migrator>(&config, Shutdown::new())
        .await
        .expect("a store");
    (Store::new(db, keyring), folder)
}
