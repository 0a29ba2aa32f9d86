use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::*;
use crate::store::testing::store;

/// A table that is left out is lost by a restore.
#[tokio::test]
async fn every_table_goes_into_backups() {
    let (store, _folder) = store().await;
    let rows = store
        .db
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
    let mut told: Vec<String> = store
        .tables()
        .iter()
        .map(|table| table.name().to_owned())
        .collect();
    told.sort();
    assert_eq!(there, told);
}
