//! The schema's history.

mod custody;
mod m0004_passage;
mod m0005_feeds;
mod m0007_audit_log;
mod m0008_registry;
mod m0009_audit_sources;
mod m0010_withdrawals;
#[cfg(test)]
mod tests;

use mesh::db::named_key;
use sea_orm_migration::{prelude::*, schema::*};

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Initial),
            Box::new(AuthEvents),
            Box::new(Answers),
            Box::new(m0004_passage::Orders),
            Box::new(m0005_feeds::Feeds),
            Box::new(custody::Custody),
            Box::new(m0007_audit_log::AuditLog),
            Box::new(m0008_registry::Registry),
            Box::new(m0009_audit_sources::AuditSources),
            Box::new(m0010_withdrawals::Withdrawals),
        ]
    }
}

struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &str {
        "m0001_initial"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        named_key::migrate(manager).await?;
        for (name, columns, keys) in tables() {
            let mut table = Table::create();
            table.table(Alias::new(name));
            for mut column in columns {
                table.col(&mut column);
            }
            let mut primary = Index::create();
            for key in keys {
                primary.col(Alias::new(*key));
            }
            manager
                .create_table(table.primary_key(&mut primary).to_owned())
                .await?;
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
        Ok(())
    }
}

struct AuthEvents;

impl MigrationName for AuthEvents {
    fn name(&self) -> &str {
        "m0002_auth_events"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AuthEvents {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Alias::new("auth_events");
        let create = Table::create()
            .table(table.clone())
            .col(uuid("id").primary_key())
            .col(string("client_id"))
            .col(blob("payload"))
            .to_owned();
        manager.create_table(create).await?;
        let index = Index::create()
            .name("auth_events_by_client")
            .table(table)
            .col(Alias::new("client_id"))
            .col(Alias::new("id"))
            .to_owned();
        manager.create_index(index).await
    }
}

struct Answers;

impl MigrationName for Answers {
    fn name(&self) -> &str {
        "m0003_answers"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Answers {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let alter = Table::alter()
            .table(Alias::new("openings"))
            .add_column(small_integer("answered_status").default(0))
            .to_owned();
        manager.alter_table(alter).await
    }
}

/// Name, table, columns, unique.
const INDEXES: &[(&str, &str, &[&str], bool)] = &[
    (
        "devices_by_partner_id",
        "devices",
        &["partner_id", "device_id"],
        true,
    ),
    ("residents_by_subject", "residents", &["subject_id"], true),
    (
        "pseudonyms_by_resident",
        "pseudonyms",
        &["resident_id"],
        false,
    ),
    (
        "grants_by_resident",
        "grants",
        &["resident_id", "device_uid"],
        false,
    ),
    ("holdings_by_lookup", "holdings", &["lookup"], false),
    ("holdings_by_resident", "holdings", &["resident_id"], false),
    ("evidence_by_time", "evidence", &["first_seen"], false),
    ("token_uses_by_time", "token_uses", &["used_at"], false),
    (
        "idempotency_keys_by_time",
        "idempotency_keys",
        &["created_at"],
        false,
    ),
    ("openings_by_command", "openings", &["command_id"], true),
    (
        "openings_by_status",
        "openings",
        &["command_status", "expires_at"],
        false,
    ),
    ("events_by_dedupe", "events", &["dedupe"], true),
];

type TableShape = (&'static str, Vec<ColumnDef>, &'static [&'static str]);

fn tables() -> Vec<TableShape> {
    vec![
        (
            "partners",
            vec![
                uuid("id"),
                string("name"),
                string("token_url"),
                string("api_base"),
                string("door_path"),
                string("barrier_path"),
                boolean("minimal"),
                text("ca_pem"),
                big_integer("settings_version"),
                big_integer("epoch"),
                blob("wrapped_key"),
                string("intercom_client_id"),
                blob("intercom_secret"),
                string("barrier_client_id"),
                blob("barrier_secret"),
                big_integer("created_at"),
            ],
            &["id"],
        ),
        (
            "sites",
            vec![
                uuid("id"),
                string("name"),
                boolean("lockdown"),
                big_integer("created_at"),
            ],
            &["id"],
        ),
        (
            "devices",
            vec![
                uuid("uid"),
                uuid("partner_id"),
                string("device_id"),
                uuid("site_id"),
                small_integer("kind"),
                string("name"),
                string("time_zone"),
                boolean("disabled"),
                big_integer("created_at"),
            ],
            &["uid"],
        ),
        (
            "residents",
            vec![
                uuid("id"),
                uuid("subject_id"),
                uuid("audit_pseudonym"),
                big_integer("epoch"),
                blob("wrapped_key"),
                blob("name_sealed"),
                boolean("suspended"),
                boolean("erasing"),
                big_integer("created_at"),
            ],
            &["id"],
        ),
        (
            "resident_sites",
            vec![uuid("resident_id"), uuid("site_id")],
            &["resident_id", "site_id"],
        ),
        (
            "pseudonyms",
            vec![string("pseudonym"), uuid("partner_id"), uuid("resident_id")],
            &["pseudonym"],
        ),
        (
            "grants",
            vec![
                uuid("id"),
                uuid("resident_id"),
                uuid("device_uid"),
                text("windows"),
                big_integer_null("ends_at"),
                big_integer("created_at"),
            ],
            &["id"],
        ),
        (
            "holdings",
            vec![
                uuid("id"),
                uuid("resident_id"),
                small_integer("kind"),
                uuid_null("site_id"),
                blob("lookup"),
                blob("sealed"),
                big_integer("held_from"),
                big_integer_null("held_to"),
            ],
            &["id"],
        ),
        (
            "subscriptions",
            vec![
                uuid("resident_id"),
                uuid("site_id"),
                small_integer("kind"),
                big_integer("paid_until"),
                integer("grace_days"),
            ],
            &["resident_id", "site_id", "kind"],
        ),
        (
            "evidence",
            vec![
                blob("mac"),
                uuid("id"),
                string("client_id"),
                big_integer("first_seen"),
            ],
            &["mac"],
        ),
        (
            "token_uses",
            vec![
                string("use_key"),
                uuid("opening_id"),
                big_integer("used_at"),
            ],
            &["use_key"],
        ),
        (
            "idempotency_keys",
            vec![
                blob("key"),
                blob("fingerprint"),
                uuid("opening_id"),
                big_integer("created_at"),
            ],
            &["key"],
        ),
        (
            "openings",
            vec![
                uuid("id"),
                uuid("partner_id"),
                uuid("site_id"),
                string("device_id"),
                small_integer("kind"),
                string("client_id"),
                small_integer("means"),
                uuid_null("audit_pseudonym"),
                string_null("denial_code"),
                text("checks"),
                big_integer("decided_at"),
                uuid_null("command_id"),
                small_integer("command_status"),
                big_integer("expires_at"),
            ],
            &["id"],
        ),
        (
            "events",
            vec![
                uuid("id"),
                small_integer("kind"),
                uuid("partner_id"),
                blob("dedupe"),
                string_null("device_id"),
                boolean("device_known"),
                uuid_null("holder"),
                uuid_null("resident_id"),
                blob("sealed"),
                big_integer("opened_at"),
                big_integer("received_at"),
            ],
            &["id"],
        ),
        (
            "command_results",
            vec![
                blob("dedupe"),
                uuid("command_id"),
                boolean("opened"),
                big_integer("at"),
                big_integer("received_at"),
            ],
            &["dedupe"],
        ),
    ]
}
