use mesh::{
    SystemClock,
    config::{DatabaseConfig, KeyringConfig},
    db,
    keyring::Keyring,
    shutdown::Shutdown,
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::*;
use crate::store::migration::Migrator;

/// A table that is left out is lost by a restore.
#[tokio::test]
async fn every_table_goes_into_backups() {
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
    // What running replicas tell each other; a restore starts them anew.
    let of_replicas = ["changes", "replicas"];
    there
        .retain(|name| !custodys.contains(&name.as_str()) && !of_replicas.contains(&name.as_str()));
    there.sort();
    let store = Store::new(db, keyring);
    let mut told: Vec<String> = store
        .tables()
        .iter()
        .map(|table| table.name().to_owned())
        .collect();
    told.sort();
    assert_eq!(there, told);
}
