//! The tables of custody, for a migration of each service.

use sea_orm_migration::{
    prelude::{Alias, DbErr, SchemaManager, Table},
    schema::{big_integer, big_integer_null, blob, integer, string, text, uuid},
};

/// Creates `backups`, `store_identity` and `sealed_secrets`.
pub async fn migrate(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for table in [
        Table::create()
            .table(Alias::new("backups"))
            .col(uuid("id").primary_key())
            .col(big_integer("epoch"))
            .col(big_integer("created_at"))
            .col(big_integer_null("verified_at"))
            .col(text("path"))
            .col(big_integer("size_bytes"))
            .col(big_integer("rows"))
            .col(blob("sha256"))
            .to_owned(),
        Table::create()
            .table(Alias::new("store_identity"))
            .col(integer("id").primary_key())
            .col(string("service"))
            .col(string("deployment"))
            .col(string("region"))
            .col(big_integer("created_at"))
            .col(big_integer_null("replay_after"))
            .to_owned(),
        Table::create()
            .table(Alias::new("sealed_secrets"))
            .col(string("name").primary_key())
            .col(big_integer("epoch"))
            .col(blob("wrapped_key"))
            .col(blob("sealed"))
            .to_owned(),
    ] {
        manager.create_table(table).await?;
    }
    Ok(())
}
