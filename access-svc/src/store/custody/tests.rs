use mesh::config::KeyringConfig;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbBackend, Statement};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::{
    domain::{
        event::CredentialKind,
        external_id::{ExternalId, ExternalIds, Object},
        plate::Plate,
    },
    error::{Error, Noun},
    store::{
        NewHolding, NewPerson, Sought, context,
        holding::VALUE,
        resident::sites_of,
        testing::{Place, act, key_of, now, place, plate, stranger},
    },
};

impl Place {
    async fn row(&self, holding: Uuid) -> entity::holding::Model {
        entity::holding::Entity::find_by_id(holding)
            .one(&self.db.read)
            .await
            .expect("asked")
            .expect("a row")
    }

    /// Whether the plate leads to this resident at home.
    async fn finds(&self, plate: &Plate, resident: Uuid) -> bool {
        let later = now() + jiff::SignedDuration::from_secs(1);
        let sites = sites_of(&self.db.read, vec![resident]).await;
        let sites = sites.expect("asked").remove(&resident).unwrap_or_default();
        let found = self.store.vehicle_holder(plate, &sites, later).await;
        found
            .expect("asked")
            .is_some_and(|found| found.resident.id == resident)
    }

    async fn key_holders(&self, partner: Uuid, site: Uuid) -> Vec<Uuid> {
        let sought = Sought::credential(partner, CredentialKind::Key, "key-1");
        let found = self
            .store
            .credential_holdings(&[(sought, [site].as_slice())])
            .await;
        let found = found.expect("asked").remove(0);
        found.into_iter().map(|holding| holding.resident).collect()
    }

    /// A new epoch, and every row under it.
    async fn rotate(&self) {
        let old = self.keyring.current().id;
        self.keyring.add_epoch(now()).await.expect("an epoch");
        while self.records.rewrap(2).await.expect("moved") > 0 {}
        let current = self.keyring.current().id;
        let references = self.records.references().await.expect("counted");
        assert_eq!(references.keys().copied().collect::<Vec<_>>(), [current]);
        self.keyring.retire_epoch(old).await.expect("retired");
        assert_eq!(self.records.verify().await.expect("verified"), 0);
    }
}

#[tokio::test]
async fn plates_and_keys_are_found_before_during_and_after_a_rotation() {
    let place = place().await;
    let (partner, site) = (place.partner().await, Uuid::new_v4());
    let mut residents = Vec::new();
    for _ in 0..3 {
        let resident = place.resident().await.id;
        place.hold(resident, NewHolding::Vehicle(plate())).await;
        // One after another.
        let key = place.hold(resident, key_of(partner, site)).await;
        let ended = place.store.end_holding(key, now(), act()).await;
        ended.expect("ended");
        residents.push(resident);
    }
    let all_found = async |when: &str| {
        for resident in &residents {
            assert!(place.finds(&plate(), *resident).await, "{when}");
        }
        assert_eq!(place.key_holders(partner, site).await.len(), 3, "{when}");
    };
    all_found("before").await;
    place.keyring.add_epoch(now()).await.expect("an epoch");
    all_found("under a new epoch").await;
    // Some of each are under the new one then.
    place.records.rewrap(2).await.expect("moved");
    all_found("half way").await;
    place.rotate().await;
    all_found("after").await;
    let egress = place.store.egress_settings(partner).await.expect("opens");
    assert!(egress.is_some());
}

/// Another replica's keyring, under whose new epoch every row is.
async fn rotated_elsewhere(place: &Place) -> Keyring {
    let path = place.folder.path().join("keyring.json");
    let other = Keyring::open("access-svc", &KeyringConfig::at(path))
        .await
        .expect("the same keyring");
    other.add_epoch(now()).await.expect("an epoch");
    let records = Records::new(place.db.clone(), other.clone());
    while records.rewrap(10).await.expect("moved") > 0 {}
    other
}

fn registered(site: Uuid) -> NewPerson {
    let ids = ExternalIds::new([("reg".to_owned(), "R-1".to_owned())]);
    NewPerson {
        resident: stranger(),
        name: Zeroizing::new("Anna Example".to_owned()),
        sites: [site].into(),
        joined: [].into(),
        external_ids: ids.expect("ids"),
    }
}

#[tokio::test]
async fn a_plate_under_another_replicas_new_epoch_is_found() {
    let place = place().await;
    let resident = place.resident().await.id;
    place.hold(resident, NewHolding::Vehicle(plate())).await;
    let other = rotated_elsewhere(&place).await;
    assert_ne!(place.keyring.current().id, other.current().id);
    assert!(place.finds(&plate(), resident).await);
}

#[tokio::test]
async fn a_name_under_another_replicas_new_epoch_is_found() {
    let place = place().await;
    let person = registered(place.site().await);
    let id = person.resident.id;
    let inserted = place.store.insert_resident(person, 0, act()).await;
    inserted.expect("a resident");
    rotated_elsewhere(&place).await;
    let name = ExternalId::new("reg".into(), "R-1".into()).expect("an id");
    let found = place.store.resolve_one(Object::Resident, name).await;
    assert_eq!(found.expect("asked"), Some(id));
}

#[tokio::test]
async fn a_name_under_another_replicas_new_epoch_is_taken() {
    let place = place().await;
    let site = place.site().await;
    let insert = async || {
        let person = registered(site);
        place.store.insert_resident(person, 0, act()).await
    };
    insert().await.expect("a resident");
    rotated_elsewhere(&place).await;
    let twin = insert().await;
    assert!(matches!(twin, Err(Error::Exists(Noun::ExternalId))));
}

#[tokio::test]
async fn another_replicas_new_epoch_is_looked_up_too() {
    let place = place().await;
    let resident = place.resident().await.id;
    place.hold(resident, NewHolding::Vehicle(plate())).await;
    let other = rotated_elsewhere(&place).await;
    assert!(place.finds(&plate(), resident).await);
    assert_eq!(place.keyring.current().id, other.current().id);
}

#[tokio::test]
async fn what_an_older_release_wrote_is_hashed_anew() {
    let place = place().await;
    let resident = place.resident().await.id;
    let holding = place.hold(resident, NewHolding::Vehicle(plate())).await;
    let key = place.store.resident_key(resident).await.expect("asked");
    let sealed = key
        .expect("a key")
        .0
        .seal(b"A123BC77", &context(VALUE, holding))
        .expect("sealed");
    let as_it_was = entity::holding::ActiveModel {
        id: Set(holding),
        sealed: Set(sealed),
        ..Default::default()
    };
    entity::holding::Entity::update(as_it_was)
        .exec(&place.db.read)
        .await
        .expect("written");
    place.rotate().await;
    assert!(place.finds(&plate(), resident).await);
    // The next time nothing is tried.
    place.rotate().await;
    assert!(place.finds(&plate(), resident).await);
}

#[tokio::test]
async fn a_holding_whose_owner_is_gone_leads_to_nobody_and_holds_nothing_up() {
    let place = place().await;
    let resident = place.resident().await.id;
    let holding = place.hold(resident, NewHolding::Vehicle(plate())).await;
    entity::resident::Entity::delete_by_id(resident)
        .exec(&place.db.read)
        .await
        .expect("deleted");
    place.rotate().await;
    assert!(!place.finds(&plate(), resident).await);
    assert_eq!(place.row(holding).await.lookup, holding.as_bytes());
}

#[tokio::test]
async fn a_holding_that_does_not_open_stays_and_is_counted() {
    let place = place().await;
    let resident = place.resident().await.id;
    let holding = place.hold(resident, NewHolding::Vehicle(plate())).await;
    let corrupt = entity::holding::ActiveModel {
        id: Set(holding),
        sealed: Set(vec![1; 40]),
        ..Default::default()
    };
    entity::holding::Entity::update(corrupt)
        .exec(&place.db.read)
        .await
        .expect("written");
    place.keyring.add_epoch(now()).await.expect("an epoch");
    while place.records.rewrap(10).await.expect("moved") > 0 {}
    let references = place.records.references().await.expect("counted");
    assert_eq!(references.get(&1), Some(&1));
}

/// A table that is left out is lost by a restore.
#[tokio::test]
async fn every_table_goes_into_backups() {
    let place = place().await;
    let rows = place
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
    there.retain(|name| !custodys.contains(&name.as_str()));
    there.sort();
    let mut told: Vec<String> = place
        .records
        .tables()
        .iter()
        .map(|table| table.name().to_owned())
        .collect();
    told.sort();
    assert_eq!(there, told);
}

#[tokio::test]
async fn acts_on_an_empty_store_leave_it_empty_for_a_restore() {
    let place = place().await;
    let act = Act {
        code: "keys_rotated",
        subject: "2".to_owned(),
        actor: "operator/operator/dev".to_owned(),
        request: None,
        at: now(),
    };
    place.records.acted(act).await.expect("left out");
    let entries = entity::audit_entry::Entity::find().all(&place.db.read);
    assert!(entries.await.expect("asked").is_empty());
}
