mod devices;

use std::collections::BTreeSet;

use super::*;
use crate::{
    domain::{
        device::{Device, DeviceKind, DeviceName},
        passage::Passage,
    },
    store::{
        Building, DeviceGroup, Entrance, Page, Site,
        testing::{Place, act, place},
    },
};

const ALL: Page = Page {
    after: None,
    limit: 100,
};

fn ids(id: &str) -> ExternalIds {
    ExternalIds::new([("crm".to_owned(), id.to_owned())]).expect("ids")
}

fn change(name: Option<&str>) -> Change {
    Change {
        name: name.map(Into::into),
        external_ids: None,
        if_match: IfMatch::default(),
        by: "operator/operator/x".parse().expect("a caller"),
    }
}

async fn site(place: &Place) -> Uuid {
    let site = Site {
        id: Uuid::now_v7(),
        name: "Riverside".into(),
        passage: Passage::default(),
        version: Version::FIRST,
    };
    let none = ExternalIds::default();
    let inserted = place.store.insert_site(site.clone(), &none, 0, act()).await;
    inserted.expect("a site");
    site.id
}

async fn building(place: &Place, site: Uuid) -> Uuid {
    let building = Building {
        id: Uuid::now_v7(),
        site,
        name: "Block 3".into(),
        version: Version::FIRST,
    };
    let (id, called) = (building.id, ids("b"));
    let inserted = place.store.insert_building(building, &called, 0, act());
    inserted.await.expect("a building");
    id
}

async fn entrance(place: &Place, building: Uuid) -> Uuid {
    let entrance = Entrance {
        id: Uuid::now_v7(),
        building,
        name: "Entrance 2".into(),
        version: Version::FIRST,
    };
    let (id, called) = (entrance.id, ids("e"));
    let inserted = place.store.insert_entrance(entrance, &called, 0, act());
    inserted.await.expect("an entrance");
    id
}

fn door(partner: Uuid, site: Uuid, id: &str) -> Device {
    Device {
        uid: Uuid::now_v7(),
        partner,
        id: id.into(),
        site,
        entrance: None,
        kind: DeviceKind::Door,
        name: "Front door".into(),
        time_zone: "Europe/Moscow".into(),
        disabled: false,
        passage: Passage::default(),
        version: Version::FIRST,
    }
}

async fn insert(place: &Place, device: Device) -> Result<Uuid, Error> {
    let (uid, none) = (device.uid, ExternalIds::default());
    let inserted = place.store.insert_device(device, &none, 0, act()).await;
    inserted.map(|()| uid)
}

async fn group(place: &Place, site: Uuid, devices: BTreeSet<DeviceName>) -> Result<Uuid, Error> {
    let group = DeviceGroup {
        id: Uuid::now_v7(),
        site,
        name: "Doors".into(),
        version: Version::FIRST,
    };
    let (id, none) = (group.id, ExternalIds::default());
    let store = &place.store;
    let inserted = store.insert_device_group(group, devices, &none, 0, act());
    inserted.await.map(|()| id)
}

async fn told(place: &Place) -> usize {
    let all = entity::audit_entry::Entity::find()
        .all(&place.db.read)
        .await;
    all.expect("entries").len()
}

#[tokio::test]
async fn what_is_in_use_stays_and_what_is_not_goes_with_its_names() {
    let place = place().await;
    let store = &place.store;
    let any = IfMatch::default;
    let partner = place.partner().await;
    let site = site(&place).await;
    let building = building(&place, site).await;
    let entrance = entrance(&place, building).await;
    let mut device = door(partner, site, "door-1");
    device.entrance = Some(entrance);
    insert(&place, device).await.expect("a device");

    let kept = store.delete_site(site, any(), act()).await;
    assert!(matches!(kept, Err(Error::InUse(Noun::Site))));
    let kept = store.delete_building(building, any(), act()).await;
    assert!(matches!(kept, Err(Error::InUse(Noun::Building))));
    let kept = store.delete_entrance(entrance, any(), act()).await;
    assert!(matches!(kept, Err(Error::InUse(Noun::Entrance))));

    let gone = store.delete_device(partner, "door-1".into(), any(), act());
    gone.await.expect("the device is deleted");
    let gone = store.delete_entrance(entrance, any(), act()).await;
    gone.expect("the entrance is deleted");
    let again = store.delete_entrance(entrance, any(), act()).await;
    assert!(matches!(again, Err(Error::NotFound(Noun::Entrance))));
    let gone = store.delete_building(building, any(), act()).await;
    gone.expect("the building is deleted");
    let gone = store.delete_site(site, any(), act()).await;
    gone.expect("the site is deleted");
    let names = entity::external_id::Entity::find()
        .all(&place.db.read)
        .await;
    assert!(names.expect("names").is_empty());
}

#[tokio::test]
async fn nothing_is_put_below_what_is_absent() {
    let place = place().await;
    let partner = place.partner().await;
    let absent = Uuid::now_v7();
    let building = Building {
        id: Uuid::now_v7(),
        site: absent,
        name: "b".into(),
        version: Version::FIRST,
    };
    let none = ExternalIds::default();
    let refused = place.store.insert_building(building, &none, 0, act()).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Site))));
    let entrance = Entrance {
        id: Uuid::now_v7(),
        building: absent,
        name: "e".into(),
        version: Version::FIRST,
    };
    let refused = place.store.insert_entrance(entrance, &none, 0, act()).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Building))));
    let refused = insert(&place, door(partner, absent, "door-1")).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Site))));
    let refused = group(&place, absent, BTreeSet::new()).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Site))));
}

#[tokio::test]
async fn a_change_is_made_to_the_state_that_was_read_and_told_once() {
    let place = place().await;
    let id = site(&place).await;
    let before = told(&place).await;
    let update = async |change| place.store.update_site(id, change, act()).await;
    let renamed = update(change(Some("Hillside"))).await.expect("renamed");
    assert_eq!((renamed.name.as_str(), renamed.version.0), ("Hillside", 2));
    let called = Change {
        external_ids: Some(ids("1")),
        ..change(None)
    };
    let called = update(called).await.expect("called something");
    assert_eq!(called.version.0, 3);
    let stale = Change {
        if_match: IfMatch::of(renamed.version.etag()),
        ..change(Some("Lakeside"))
    };
    assert!(matches!(update(stale).await, Err(Error::EtagMismatch)));
    let told_back = Change {
        external_ids: Some(ids("1")),
        if_match: IfMatch::of(called.version.etag()),
        ..change(Some("Hillside"))
    };
    let same = update(told_back).await.expect("nothing to do");
    assert_eq!(same.version, called.version);
    assert_eq!(told(&place).await, before + 2);
    let stale = place
        .store
        .delete_site(id, IfMatch::of(renamed.version.etag()), act());
    assert!(matches!(stale.await, Err(Error::EtagMismatch)));
}

#[tokio::test]
async fn an_id_names_one_object_of_its_noun() {
    let place = place().await;
    let site = site(&place).await;
    let first = building(&place, site).await;
    let twin = Building {
        id: Uuid::now_v7(),
        site,
        name: "another".into(),
        version: Version::FIRST,
    };
    let refused = place.store.insert_building(twin, &ids("b"), 0, act()).await;
    assert!(matches!(refused, Err(Error::Exists(Noun::ExternalId))));
    let all = place.store.list_buildings(Some(site), ALL).await;
    assert_eq!(all.expect("buildings").len(), 1, "the twin is not stored");
    // An entrance may be called the same.
    let second = entrance(&place, first).await;
    let called = Change {
        external_ids: Some(ids("b")),
        ..change(None)
    };
    let called = place.store.update_entrance(second, called, act()).await;
    called.expect("called as the building is");
}
