use mesh::{
    Clock, SystemClock,
    config::{DatabaseConfig, KeyringConfig},
    db,
    shutdown::Shutdown,
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tempfile::TempDir;

use super::*;
use crate::{
    config::SigningAlgorithm,
    store::{Store, migration::Migrator},
};

async fn database(folder: &TempDir) -> (Db, Keyring) {
    let keys = KeyringConfig::at(folder.path().join("keyring.json"));
    let keyring = Keyring::open_or_create("auth-svc", &keys, &SystemClock)
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
    (db, keyring)
}

#[tokio::test]
async fn signing_keys_open_under_the_next_epoch() {
    mesh::jose::install_crypto();
    let folder = tempfile::tempdir().expect("a folder");
    let (db, keyring) = database(&folder).await;
    let store = Store::new(db.clone(), keyring.clone());
    let now = SystemClock.now();
    for (generation, algorithm) in [(1, SigningAlgorithm::Es256), (2, SigningAlgorithm::EdDsa)] {
        store
            .add_signing_key(generation, algorithm, now, now, None)
            .await
            .expect("a key");
    }
    let kids = async || -> Vec<String> {
        let keys = store.signing_keys().await.expect("keys that open");
        keys.iter().map(|key| key.key.kid().to_owned()).collect()
    };
    let before = kids().await;
    let records = Records::new(db, keyring.clone(), crate::app::acted);
    keyring.add_epoch(now).await.expect("an epoch");
    while records.rewrap(1).await.expect("moved") > 0 {}
    let references = records.references().await.expect("counted");
    assert_eq!(references, BTreeMap::from([(2, 2)]));
    keyring.retire_epoch(1).await.expect("retired");
    assert_eq!(records.verify().await.expect("verified"), 0);
    assert_eq!(kids().await, before);
}

/// A table that is left out is lost by a restore.
#[tokio::test]
async fn every_table_goes_into_backups() {
    let folder = tempfile::tempdir().expect("a folder");
    let (db, keyring) = database(&folder).await;
    let rows = db
        .read
        .query_all_raw(Statement::from_string(
            DbBackend::Sqlite,
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        ))
        .await
        .expect("tables");
    let mut there: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).expect("a name"))
        .collect();
    let custodys = [
        "seaql_migrations",
        "leases",
        "backups",
        "store_identity",
        "named_keys",
        "sealed_secrets",
    ];
    there.retain(|name| !custodys.contains(&name.as_str()));
    there.sort();
    let records = Records::new(db, keyring, crate::app::acted);
    let mut told: Vec<String> = records
        .tables()
        .iter()
        .map(|table| table.name().to_owned())
        .collect();
    told.sort();
    assert_eq!(there, told);
}
