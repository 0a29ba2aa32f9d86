//! A store that an older release has filled.

use std::collections::{BTreeMap, BTreeSet};

use private_postgres::Postgres;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, EntityTrait, Statement,
    TransactionTrait, Value,
};
use sea_orm_migration::MigratorTrait;
use uuid::Uuid;

use super::Migrator;
use crate::store::entity::{
    device, grant, holding, household, household_member, resident, site, subscription,
};

/// Migrations before there was a registry.
const OLDER: u32 = 7;
/// More payers than are moved in one go, none of whom paid for more than a door.
const NEIGHBOURS: u128 = 1_001;

const SITES: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];
const DEVICE: Uuid = Uuid::from_u128(3);
/// Has paid for a door at both sites, and for a barrier at one.
const PAYER: Uuid = Uuid::from_u128(10);
const PAYS_NOTHING: Uuid = Uuid::from_u128(11);
const LEAVING: Uuid = Uuid::from_u128(12);
/// Whose row an erasure has destroyed already.
const GONE: Uuid = Uuid::from_u128(13);

async fn run<C: ConnectionTrait>(db: &C, sql: &str, values: Vec<Value>) {
    let backend = db.get_database_backend();
    let done = db.execute_raw(Statement::from_sql_and_values(backend, sql, values));
    done.await.expect(sql);
}

async fn resident_row<C: ConnectionTrait>(db: &C, id: Uuid, erasing: bool) {
    run(
        db,
        "INSERT INTO residents (id, subject_id, audit_pseudonym, epoch, wrapped_key, \
         name_sealed, suspended, erasing, created_at) VALUES ($1, $2, $3, 1, $4, $5, FALSE, $6, 5)",
        vec![
            id.into(),
            Uuid::new_v4().into(),
            Uuid::new_v4().into(),
            vec![1_u8].into(),
            vec![2_u8].into(),
            erasing.into(),
        ],
    )
    .await;
}

async fn pay<C: ConnectionTrait>(db: &C, who: Uuid, site: Uuid, kind: i16, until: i64) {
    run(
        db,
        "INSERT INTO subscriptions (resident_id, site_id, kind, paid_until, grace_days) \
         VALUES ($1, $2, $3, $4, 3)",
        vec![who.into(), site.into(), kind.into(), until.into()],
    )
    .await;
}

async fn fill(db: &DatabaseConnection) {
    let filling = db.begin().await.expect("a transaction");
    let db = &filling;
    for site in SITES {
        run(
            db,
            "INSERT INTO sites (id, name, lockdown, created_at) VALUES ($1, 'North', FALSE, 5)",
            vec![site.into()],
        )
        .await;
    }
    run(
        db,
        "INSERT INTO devices (uid, partner_id, device_id, site_id, kind, name, time_zone, \
         disabled, created_at) VALUES ($1, $2, 'door-1', $3, 1, 'Door', 'UTC', FALSE, 5)",
        vec![DEVICE.into(), Uuid::nil().into(), SITES[0].into()],
    )
    .await;
    for id in [PAYER, PAYS_NOTHING] {
        resident_row(db, id, false).await;
        run(
            db,
            "INSERT INTO grants (id, resident_id, device_uid, windows, ends_at, created_at) \
             VALUES ($1, $1, $2, '[]', 77, 5)",
            vec![id.into(), DEVICE.into()],
        )
        .await;
        run(
            db,
            "INSERT INTO holdings (id, resident_id, kind, lookup, sealed, held_from, lookup_epoch) \
             VALUES ($1, $1, 1, $2, $3, 5, 1)",
            vec![id.into(), vec![3_u8].into(), vec![4_u8].into()],
        )
        .await;
    }
    resident_row(db, LEAVING, true).await;
    pay(db, PAYER, SITES[1], 1, 100).await;
    pay(db, PAYER, SITES[0], 1, 101).await;
    pay(db, PAYER, SITES[0], 2, 102).await;
    pay(db, LEAVING, SITES[0], 1, 103).await;
    pay(db, GONE, SITES[0], 1, 104).await;
    for number in 0..NEIGHBOURS {
        let id = Uuid::from_u128(1_000 + number);
        resident_row(db, id, false).await;
        pay(db, id, SITES[0], 1, 105).await;
    }
    filling.commit().await.expect("filled");
}

async fn filled(url: String) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    // As the services migrate a store of SQLite.
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await.expect("a database");
    let older = Migrator::up(&db, Some(OLDER)).await;
    older.expect("the older schema");
    fill(&db).await;
    db
}

async fn check_migrated(db: &DatabaseConnection) {
    let sites = site::Entity::find().all(db).await.expect("sites");
    assert_eq!(sites.len(), SITES.len());
    assert!(sites.iter().all(|site| site.version == 1));
    let devices = device::Entity::find().all(db).await.expect("devices");
    let [device] = &devices[..] else {
        panic!("one device, not {}", devices.len());
    };
    assert_eq!((device.version, device.entrance_id), (1, None));
    let holdings = holding::Entity::find().all(db).await.expect("holdings");
    assert_eq!(holdings.len(), 2);
    assert!(holdings.iter().all(|holding| holding.version == 1));
    let row = resident::Entity::find_by_id(PAYER).one(db).await;
    let row = row.expect("asked").expect("a resident");
    assert_eq!((row.version, row.host_household_id), (1, None));
    assert!(row.guest_until.is_none() && !row.galleries_pending);

    let mut grants = grant::Entity::find().all(db).await.expect("grants");
    grants.sort_by_key(|grant| grant.id);
    let expected = [PAYER, PAYS_NOTHING].map(|id| grant::Model {
        id,
        resident_id: Some(id),
        household_id: None,
        device_uid: Some(DEVICE),
        group_id: None,
        windows: "[]".into(),
        ends_at: Some(77),
        version: 1,
        created_at: 5,
    });
    assert_eq!(grants, expected);

    let members = household_member::Entity::find().all(db).await;
    let members = members.expect("members");
    let home_of: BTreeMap<Uuid, Uuid> = members
        .iter()
        .map(|member| (member.resident_id, member.household_id))
        .collect();
    assert_eq!(members.len(), home_of.len());
    let payers = (0..NEIGHBOURS).map(|number| Uuid::from_u128(1_000 + number));
    let payers: BTreeSet<Uuid> = payers.chain([PAYER]).collect();
    assert_eq!(home_of.keys().copied().collect::<BTreeSet<_>>(), payers);
    let households = household::Entity::find().all(db).await.expect("households");
    assert_eq!(households.len(), payers.len());
    let of_payer = households.iter().find(|home| home.id == home_of[&PAYER]);
    let of_payer = of_payer.expect("a household");
    assert_eq!(
        (of_payer.site_id, of_payer.unit.as_str()),
        (SITES[0], ""),
        "of several sites the first"
    );

    let paid = subscription::Entity::find().all(db).await.expect("paid");
    assert_eq!(paid.len(), payers.len() + 2);
    let of_payer: BTreeSet<_> = paid
        .iter()
        .filter(|paid| paid.household_id == home_of[&PAYER])
        .map(|paid| (paid.site_id, paid.kind, paid.paid_until))
        .collect();
    let expected = [(SITES[1], 1, 100), (SITES[0], 1, 101), (SITES[0], 2, 102)];
    assert_eq!(of_payer, BTreeSet::from(expected));
    for paid in &paid {
        let state = (paid.grace_days, paid.suspended, paid.as_of, paid.version);
        assert_eq!(state, (3, false, 0, 1));
    }
}

async fn what_was_registered_and_paid_stays(url: String) {
    let db = filled(url).await;
    Migrator::up(&db, None).await.expect("migrated");
    check_migrated(&db).await;
}

async fn a_migration_that_fails_leaves_the_store_as_it_was(url: String) {
    let db = filled(url).await;
    // The name that the last of its statements wants.
    let taken = "CREATE INDEX external_ids_by_epoch ON holdings (lookup_epoch)";
    db.execute_unprepared(taken).await.expect("an index");
    Migrator::up(&db, None).await.expect_err("refused");
    let dropped = db.execute_unprepared("DROP INDEX external_ids_by_epoch");
    dropped.await.expect("no index");
    Migrator::up(&db, None).await.expect("migrated");
    check_migrated(&db).await;
}

fn on_sqlite(folder: &tempfile::TempDir) -> String {
    format!("sqlite://{}?mode=rwc", folder.path().join("x.db").display())
}

fn on_postgres() -> String {
    let server = Postgres::shared().expect("a private PostgreSQL server");
    let name = format!("access_{}", Uuid::new_v4().simple());
    server.create_database(&name).expect("a database")
}

#[tokio::test]
async fn what_was_registered_and_paid_stays_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    what_was_registered_and_paid_stays(on_sqlite(&folder)).await;
}

#[tokio::test]
async fn what_was_registered_and_paid_stays_on_postgres() {
    what_was_registered_and_paid_stays(on_postgres()).await;
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_store_as_it_was_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    a_migration_that_fails_leaves_the_store_as_it_was(on_sqlite(&folder)).await;
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_store_as_it_was_on_postgres() {
    a_migration_that_fails_leaves_the_store_as_it_was(on_postgres()).await;
}
