//! Places below a site, households, consents, guests, other systems' ids, and versions.

use mesh::{Clock, SystemClock, clock::to_micros};
use sea_orm_migration::{prelude::*, schema::*};
use uuid::Uuid;

/// Payers read and given households in one go.
const AT_ONCE: u64 = 500;

pub(super) struct Registry;

impl MigrationName for Registry {
    fn name(&self) -> &str {
        "m0008_registry"
    }
}

/// Partial, where most rows lack what they are of.
const INDEXES: [&str; 21] = [
    "CREATE INDEX buildings_by_site ON buildings (site_id, id)",
    "CREATE INDEX entrances_by_building ON entrances (building_id, id)",
    "CREATE INDEX devices_by_site ON devices (site_id, uid)",
    "CREATE INDEX devices_by_entrance ON devices (entrance_id) WHERE entrance_id IS NOT NULL",
    "CREATE INDEX device_groups_by_site ON device_groups (site_id, id)",
    "CREATE INDEX device_group_members_by_device ON device_group_members (device_uid)",
    "CREATE INDEX households_by_site ON households (site_id, id)",
    "CREATE INDEX household_members_by_resident ON household_members (resident_id)",
    "CREATE INDEX grants_by_resident ON grants (resident_id) WHERE resident_id IS NOT NULL",
    "CREATE INDEX grants_by_household ON grants (household_id) WHERE household_id IS NOT NULL",
    "CREATE INDEX grants_by_device ON grants (device_uid) WHERE device_uid IS NOT NULL",
    "CREATE INDEX grants_by_group ON grants (group_id) WHERE group_id IS NOT NULL",
    "CREATE INDEX residents_by_end ON residents (guest_until) WHERE guest_until IS NOT NULL",
    "CREATE INDEX residents_by_host ON residents (host_household_id) \
     WHERE host_household_id IS NOT NULL",
    "CREATE INDEX residents_galleries ON residents (id) WHERE galleries_pending",
    "CREATE INDEX consents_by_resident ON consents (resident_id)",
    "CREATE INDEX withdrawals_by_resident ON withdrawals (resident_id)",
    "CREATE INDEX withdrawals_unfinished ON withdrawals (id) WHERE erased_at IS NULL",
    "CREATE UNIQUE INDEX external_ids_by_object ON external_ids (noun, object_id, system)",
    "CREATE INDEX external_ids_by_owner ON external_ids (owner) WHERE owner IS NOT NULL",
    "CREATE INDEX external_ids_by_epoch ON external_ids (lookup_epoch) WHERE lookup_epoch > 0",
];

#[async_trait::async_trait]
impl MigrationTrait for Registry {
    /// On SQLite too: tables are renamed, and half of it could not be begun again.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in places().into_iter().chain(people()) {
            manager.create_table(table).await?;
        }
        for (table, column) in columns() {
            let alter = Table::alter()
                .table(Alias::new(table))
                .add_column(column)
                .to_owned();
            manager.alter_table(alter).await?;
        }
        widen_grants(manager).await?;
        households_pay(manager).await?;
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }
}

fn versioned(name: &'static str, columns: Vec<ColumnDef>) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Alias::new(name)).col(uuid("id").primary_key());
    for mut column in columns {
        table.col(&mut column);
    }
    table
        .col(big_integer("version"))
        .col(big_integer("created_at"))
        .to_owned()
}

fn pairs(name: &'static str, first: &'static str, second: &'static str) -> TableCreateStatement {
    Table::create()
        .table(Alias::new(name))
        .col(uuid(first))
        .col(uuid(second))
        .primary_key(
            Index::create()
                .col(Alias::new(first))
                .col(Alias::new(second)),
        )
        .to_owned()
}

fn places() -> Vec<TableCreateStatement> {
    vec![
        versioned("buildings", vec![uuid("site_id"), string("name")]),
        versioned("entrances", vec![uuid("building_id"), string("name")]),
        versioned("device_groups", vec![uuid("site_id"), string("name")]),
        pairs("device_group_members", "group_id", "device_uid"),
    ]
}

fn people() -> Vec<TableCreateStatement> {
    vec![
        versioned(
            "households",
            vec![uuid("site_id"), uuid_null("building_id"), string("unit")],
        ),
        pairs("household_members", "household_id", "resident_id"),
        Table::create()
            .table(Alias::new("consents"))
            .col(uuid("id").primary_key())
            .col(uuid("resident_id"))
            .col(blob("reference_sealed"))
            .col(big_integer("consented_at"))
            .col(uuid_null("withdrawal_id"))
            .col(big_integer("created_at"))
            .to_owned(),
        Table::create()
            .table(Alias::new("withdrawals"))
            .col(uuid("id").primary_key())
            .col(uuid("resident_id"))
            .col(uuid("audit_pseudonym"))
            .col(uuid_null("subject_id"))
            .col(big_integer("withdrawn_at"))
            .col(big_integer_null("erased_at"))
            .col(text("receipts"))
            .to_owned(),
        Table::create()
            .table(Alias::new("external_ids"))
            .col(small_integer("noun"))
            .col(string("system"))
            .col(blob("lookup"))
            .col(uuid("object_id"))
            .col(uuid_null("owner"))
            .col(big_integer("lookup_epoch"))
            .col(blob("value"))
            .primary_key(
                Index::create()
                    .col(Alias::new("noun"))
                    .col(Alias::new("system"))
                    .col(Alias::new("lookup")),
            )
            .to_owned(),
    ]
}

/// SQLite adds one column a statement.
fn columns() -> Vec<(&'static str, ColumnDef)> {
    let version = || big_integer("version").default(1).take();
    vec![
        ("sites", version()),
        ("devices", version()),
        ("devices", uuid_null("entrance_id")),
        ("residents", version()),
        ("residents", uuid_null("host_household_id")),
        ("residents", big_integer_null("guest_until")),
        (
            "residents",
            boolean("galleries_pending").default(false).take(),
        ),
        ("holdings", version()),
    ]
}

/// Until now a grant was of one resident on one device; SQLite has no other way to let columns be
/// null.
async fn widen_grants(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    db.execute_unprepared("ALTER TABLE grants RENAME TO narrow_grants")
        .await?;
    let grants = versioned(
        "grants",
        vec![
            uuid_null("resident_id"),
            uuid_null("household_id"),
            uuid_null("device_uid"),
            uuid_null("group_id"),
            text("windows"),
            big_integer_null("ends_at"),
        ],
    );
    // PostgreSQL keeps the primary key's name with the old table.
    manager.create_table(grants).await?;
    db.execute_unprepared(
        "INSERT INTO grants (id, resident_id, device_uid, windows, ends_at, version, created_at) \
         SELECT id, resident_id, device_uid, windows, ends_at, 1, created_at FROM narrow_grants",
    )
    .await?;
    db.execute_unprepared("DROP TABLE narrow_grants").await?;
    Ok(())
}

/// Until now a resident paid: each who did becomes a household of one. What somebody paid who is
/// being erased goes with the old table.
async fn households_pay(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    db.execute_unprepared("ALTER TABLE subscriptions RENAME TO residents_subscriptions")
        .await?;
    let subscriptions = Table::create()
        .table(Alias::new("subscriptions"))
        .col(uuid("household_id"))
        .col(uuid("site_id"))
        .col(small_integer("kind"))
        .col(big_integer("paid_until"))
        .col(integer("grace_days"))
        .col(boolean("suspended"))
        .col(big_integer("as_of"))
        .col(big_integer("version"))
        .primary_key(
            Index::create()
                .col(Alias::new("household_id"))
                .col(Alias::new("site_id"))
                .col(Alias::new("kind")),
        )
        .to_owned();
    manager.create_table(subscriptions).await?;
    let now = to_micros(SystemClock.now());
    let mut last: Option<Uuid> = None;
    loop {
        let rows = db.query_all(&payers_after(last)).await?;
        if rows.is_empty() {
            break;
        }
        let columns = ["id", "site_id", "unit", "version", "created_at"];
        let mut households = insert_into("households", columns);
        let mut members = insert_into("household_members", ["household_id", "resident_id"]);
        for row in rows {
            let resident: Uuid = row.try_get_by_index(0)?;
            let site: Uuid = row.try_get_by_index(1)?;
            // Who paid for several sites or kinds has a row of each.
            if last.replace(resident) == Some(resident) {
                continue;
            }
            let id = Uuid::now_v7();
            let household = [
                Expr::val(id),
                Expr::val(site),
                Expr::val(""),
                Expr::val(1_i64),
                Expr::val(now),
            ];
            households.values(household).map_err(unfit)?;
            members
                .values([Expr::val(id), Expr::val(resident)])
                .map_err(unfit)?;
        }
        manager.execute(households).await?;
        manager.execute(members).await?;
    }
    db.execute_unprepared(
        "INSERT INTO subscriptions (household_id, site_id, kind, paid_until, grace_days, \
         suspended, as_of, version) SELECT home.household_id, paid.site_id, paid.kind, \
         paid.paid_until, paid.grace_days, FALSE, 0, 1 FROM residents_subscriptions AS paid \
         JOIN household_members AS home ON home.resident_id = paid.resident_id",
    )
    .await?;
    db.execute_unprepared("DROP TABLE residents_subscriptions")
        .await?;
    Ok(())
}

/// Each with the sites paid for.
fn payers_after(last: Option<Uuid>) -> SelectStatement {
    let resident = || Alias::new("resident_id");
    let there = Query::select()
        .column(Alias::new("id"))
        .from(Alias::new("residents"))
        .and_where(Expr::col(Alias::new("erasing")).eq(false))
        .to_owned();
    let mut payers = Query::select();
    payers
        .column(resident())
        .column(Alias::new("site_id"))
        .from(Alias::new("residents_subscriptions"))
        .and_where(Expr::col(resident()).in_subquery(there))
        .order_by(resident(), Order::Asc)
        .order_by(Alias::new("site_id"), Order::Asc)
        .limit(AT_ONCE);
    if let Some(last) = last {
        payers.and_where(Expr::col(resident()).gt(last));
    }
    payers
}

fn insert_into<const N: usize>(table: &'static str, columns: [&'static str; N]) -> InsertStatement {
    Query::insert()
        .into_table(Alias::new(table))
        .columns(columns.map(Alias::new))
        .to_owned()
}

fn unfit(error: sea_query::error::Error) -> DbErr {
    DbErr::Custom(error.to_string())
}
