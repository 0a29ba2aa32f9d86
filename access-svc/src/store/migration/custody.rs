//! Key epochs that end, backups, and erasures that are proved.

use mesh::{custody, db::lease};
use sea_orm_migration::{prelude::*, schema::*};

pub(super) struct Custody;

impl MigrationName for Custody {
    fn name(&self) -> &str {
        "m0006_custody"
    }
}

/// Name, table, columns, unique. Rotations look for rows by epoch, erasures
/// for a resident's events.
const INDEXES: &[(&str, &str, &[&str], bool)] = &[
    ("partners_by_epoch", "partners", &["epoch"], false),
    ("residents_by_epoch", "residents", &["epoch"], false),
    ("holdings_by_epoch", "holdings", &["lookup_epoch"], false),
    ("events_by_resident", "events", &["resident_id"], false),
    ("erasures_by_pseudonym", "erasures", &["pseudonym"], true),
    ("erasures_by_step", "erasures", &["step"], false),
];

/// What was begun before erasures had rows of their own is gone on with.
const BEGUN_BEFORE: &str = "INSERT INTO erasures \
     (resident_id, pseudonym, subject_id, step, reason, requested_by, replayed, begun_at, counts) \
     SELECT id, audit_pseudonym, subject_id, 1, 0, '', FALSE, created_at, '{}' \
     FROM residents WHERE erasing = TRUE";

#[async_trait::async_trait]
impl MigrationTrait for Custody {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        lease::migrate(manager).await?;
        custody::migrate(manager).await?;
        // Until now every keyring had one epoch.
        let lookup_epoch = Table::alter()
            .table(Alias::new("holdings"))
            .add_column(big_integer("lookup_epoch").default(1).take())
            .to_owned();
        manager.alter_table(lookup_epoch).await?;
        for table in [erasures(), erasure_receipts()] {
            manager.create_table(table).await?;
        }
        for (name, table, columns, unique) in INDEXES {
            let mut index = Index::create();
            index.name(*name).table(Alias::new(*table));
            for column in *columns {
                index.col(Alias::new(*column));
            }
            if *unique {
                index.unique();
            }
            manager.create_index(index.to_owned()).await?;
        }
        let connection = manager.get_connection();
        connection.execute_unprepared(BEGUN_BEFORE).await?;
        Ok(())
    }
}

fn erasures() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("erasures"))
        .col(uuid("resident_id").primary_key())
        .col(uuid("pseudonym"))
        .col(uuid_null("subject_id"))
        .col(small_integer("step"))
        .col(small_integer("reason"))
        .col(string("requested_by"))
        .col(boolean("replayed"))
        .col(big_integer("begun_at"))
        .col(big_integer_null("erased_at"))
        .col(text("counts"))
        .col(big_integer_null("epoch"))
        .col(big_integer_null("ledger_number"))
        .col(big_integer_null("final_at"))
        .col(big_integer_null("biometric_final_at"))
        .to_owned()
}

fn erasure_receipts() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("erasure_receipts"))
        .col(uuid("resident_id"))
        .col(string("service"))
        .col(small_integer("number"))
        .col(text("receipt"))
        .primary_key(
            Index::create()
                .col(Alias::new("resident_id"))
                .col(Alias::new("service"))
                .col(Alias::new("number")),
        )
        .to_owned()
}
