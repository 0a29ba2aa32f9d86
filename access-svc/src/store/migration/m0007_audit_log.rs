//! The audit log: entries, the tree over them, its checkpoints, and how far
//! they have gone out.

use mesh::db::lease;
use sea_orm_migration::{prelude::*, schema::*};

pub(super) struct AuditLog;

impl MigrationName for AuditLog {
    fn name(&self) -> &str {
        "m0007_audit_log"
    }
}

/// Partial: most entries lack what these are of, and few are queued.
const INDEXES: [&str; 7] = [
    "CREATE UNIQUE INDEX audit_entries_by_number ON audit_entries (number) \
     WHERE number IS NOT NULL",
    "CREATE INDEX audit_entries_queued ON audit_entries (id) WHERE number IS NULL",
    "CREATE INDEX audit_entries_by_code ON audit_entries (code, id)",
    "CREATE INDEX audit_entries_by_device ON audit_entries (device_id, id) \
     WHERE device_id IS NOT NULL",
    "CREATE INDEX audit_entries_by_pseudonym ON audit_entries (audit_pseudonym, id) \
     WHERE audit_pseudonym IS NOT NULL",
    "CREATE INDEX audit_entries_by_opening ON audit_entries (opening_id) \
     WHERE opening_id IS NOT NULL",
    "CREATE UNIQUE INDEX residents_by_audit_pseudonym ON residents (audit_pseudonym)",
];

#[async_trait::async_trait]
impl MigrationTrait for AuditLog {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Others take leases too.
        if !manager.has_table("leases").await? {
            lease::migrate(manager).await?;
        }
        for table in [
            Table::create()
                .table(Alias::new("audit_entries"))
                .col(uuid("id").primary_key())
                .col(big_integer_null("number"))
                .col(blob("payload"))
                .col(blob_null("sealed"))
                .col(blob("mac"))
                .col(string("code"))
                .col(string_null("device_id"))
                .col(uuid_null("audit_pseudonym"))
                .col(uuid_null("opening_id"))
                .to_owned(),
            Table::create()
                .table(Alias::new("audit_tiles"))
                .col(small_integer("level"))
                .col(big_integer("tile"))
                .col(blob("hashes"))
                .primary_key(
                    Index::create()
                        .col(Alias::new("level"))
                        .col(Alias::new("tile")),
                )
                .to_owned(),
            Table::create()
                .table(Alias::new("audit_checkpoints"))
                .col(big_integer("size").primary_key())
                .col(big_integer("at"))
                .col(boolean("kept"))
                .col(text("note"))
                .to_owned(),
            Table::create()
                .table(Alias::new("audit_places"))
                .col(string("place").primary_key())
                .col(big_integer("size"))
                .col(big_integer("at"))
                .to_owned(),
        ] {
            manager.create_table(table).await?;
        }
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }
}
