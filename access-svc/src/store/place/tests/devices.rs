//! Devices and their groups.

use sea_orm::ActiveValue::Set;

use super::*;
use crate::{
    domain::passage::Order,
    store::{
        AuthEvent, DeviceChange, DeviceFilter, DeviceGroupChange, PassageChange, testing::now,
    },
};

fn named(partner: Uuid, devices: &[&str]) -> BTreeSet<DeviceName> {
    let name = |id: &&str| DeviceName {
        partner,
        id: (*id).to_owned(),
    };
    devices.iter().map(name).collect()
}

async fn devices_in(place: &Place, group: Uuid) -> Vec<String> {
    let mut devices = place.store.group_devices(vec![group]).await.expect("asked");
    let devices = devices.remove(&group).unwrap_or_default();
    devices.into_iter().map(|device| device.id).collect()
}

/// On a device or on a group, by nobody who matters here.
async fn grant(place: &Place, device: Option<Uuid>, group: Option<Uuid>) {
    let grant = entity::grant::ActiveModel {
        id: Set(Uuid::now_v7()),
        resident_id: Set(None),
        household_id: Set(Some(Uuid::now_v7())),
        device_uid: Set(device),
        group_id: Set(group),
        windows: Set("[]".into()),
        ends_at: Set(None),
        version: Set(1),
        created_at: Set(0),
    };
    let inserted = entity::grant::Entity::insert(grant).exec_without_returning(&place.db.read);
    inserted.await.expect("a grant");
}

async fn grants(place: &Place) -> usize {
    let all = entity::grant::Entity::find().all(&place.db.read).await;
    all.expect("grants").len()
}

#[tokio::test]
async fn a_deleted_device_leaves_its_groups_and_ends_its_grants() {
    let place = place().await;
    let partner = place.partner().await;
    let site = site(&place).await;
    let first = insert(&place, door(partner, site, "door-1")).await;
    let first = first.expect("a device");
    let second = insert(&place, door(partner, site, "door-2")).await;
    let both = named(partner, &["door-1", "door-2"]);
    let both = group(&place, site, both).await.expect("a group");
    let other = named(partner, &["door-2"]);
    let other = group(&place, site, other).await.expect("a group");
    grant(&place, Some(first), None).await;
    grant(&place, Some(second.expect("a device")), None).await;
    grant(&place, None, Some(both)).await;

    let stale = IfMatch::of(Version(7).etag());
    let kept = place
        .store
        .delete_device(partner, "door-1".into(), stale, act());
    assert!(matches!(kept.await, Err(Error::EtagMismatch)));
    assert_eq!(devices_in(&place, both).await, ["door-1", "door-2"]);
    let any = IfMatch::default();
    let gone = place
        .store
        .delete_device(partner, "door-1".into(), any, act());
    gone.await.expect("deleted");
    assert_eq!(devices_in(&place, both).await, ["door-2"]);
    let version = async |group| {
        let group = place.store.device_group(group).await.expect("asked");
        group.expect("a group").version.0
    };
    assert_eq!(
        (version(both).await, version(other).await),
        (2, 1),
        "only the group that held it has changed"
    );
    assert_eq!(grants(&place).await, 2);
    let any = IfMatch::default();
    let gone = place.store.delete_device_group(both, any, act()).await;
    gone.expect("the group is deleted");
    assert_eq!(grants(&place).await, 1);
    assert_eq!(devices_in(&place, other).await, ["door-2"]);
}

#[tokio::test]
async fn a_group_holds_devices_of_its_site() {
    let place = place().await;
    let partner = place.partner().await;
    let (here, there) = (site(&place).await, site(&place).await);
    for (site, id) in [(here, "door-1"), (here, "door-2"), (there, "door-3")] {
        let made = insert(&place, door(partner, site, id)).await;
        made.expect("a device");
    }
    let absent = group(&place, here, named(partner, &["door-1", "door-9"])).await;
    assert!(matches!(absent, Err(Error::NotFound(Noun::Device))));
    let foreign = group(&place, here, named(partner, &["door-1", "door-3"])).await;
    assert!(matches!(
        foreign,
        Err(Error::InvalidField {
            field: "devices",
            ..
        })
    ));
    let id = group(&place, here, named(partner, &["door-1"])).await;
    let id = id.expect("a group");
    let replace = async |devices: &[&str]| {
        let change = DeviceGroupChange {
            common: change(None),
            devices: Some(named(partner, devices)),
        };
        let updated = place.store.update_device_group(id, change, act()).await;
        updated.map(|group| group.version.0)
    };
    let same = replace(&["door-1"]).await.expect("the same");
    assert_eq!(same, 1);
    let other = replace(&["door-2"]).await.expect("another");
    assert_eq!(other, 2);
    assert_eq!(devices_in(&place, id).await, ["door-2"]);
    assert!(replace(&["door-3"]).await.is_err());
    assert_eq!(devices_in(&place, id).await, ["door-2"]);
    replace(&[]).await.expect("none");
    assert!(devices_in(&place, id).await.is_empty());
    let sizes = place.store.group_sizes(vec![id]).await.expect("sizes");
    assert!(sizes.is_empty());
}

#[tokio::test]
async fn a_devices_entrance_is_of_its_site() {
    let place = place().await;
    let partner = place.partner().await;
    let (here, there) = (site(&place).await, site(&place).await);
    let building = building(&place, here).await;
    let entrance = entrance(&place, building).await;
    let mut foreign = door(partner, there, "door-1");
    foreign.entrance = Some(entrance);
    let refused = insert(&place, foreign).await;
    assert!(matches!(
        refused,
        Err(Error::InvalidField {
            field: "entrance_id",
            ..
        })
    ));
    let made = insert(&place, door(partner, here, "door-1")).await;
    made.expect("a device");
    let at = async |entrance| {
        let filter = DeviceFilter {
            entrance: Some(entrance),
            ..DeviceFilter::default()
        };
        let listed = place.store.list_devices(filter, ALL).await;
        listed.expect("devices").len()
    };
    assert_eq!(at(entrance).await, 0);
    let put = async |entrance| {
        let change = DeviceChange {
            common: change(None),
            time_zone: None,
            entrance: Some(entrance),
        };
        let store = &place.store;
        store
            .update_device(partner, "door-1".into(), change, act())
            .await
    };
    let device = put(Some(entrance)).await.expect("put there");
    assert_eq!((device.entrance, device.version.0), (Some(entrance), 2));
    assert_eq!(at(entrance).await, 1);
    let absent = put(Some(building)).await;
    assert!(matches!(absent, Err(Error::NotFound(Noun::Entrance))));
    let device = put(None).await.expect("taken away");
    assert_eq!((device.entrance, device.version.0), (None, 3));
}

#[tokio::test]
async fn orders_and_states_change_the_version_where_they_change_anything() {
    let place = place().await;
    let partner = place.partner().await;
    let site = site(&place).await;
    let uid = insert(&place, door(partner, site, "door-1")).await;
    let uid = uid.expect("a device");
    let event = || {
        let change = PassageChange {
            site,
            device: None,
            code: "lockdown_on",
            actor: String::new(),
        };
        AuthEvent::passage_changed(change, String::new(), now())
    };
    for _ in 0..2 {
        let ordered = place.store.order_site(site, Order::Lockdown, true, event());
        let ordered = ordered.await.expect("ordered");
        assert_eq!((ordered.passage.lockdown, ordered.version.0), (true, 2));
        let ordered = place
            .store
            .order_device(uid, Order::FreePassage, true, event());
        let ordered = ordered.await.expect("ordered");
        assert_eq!((ordered.passage.free, ordered.version.0), (true, 2));
    }
    let before = told(&place).await;
    for _ in 0..2 {
        let state = place
            .store
            .set_device_state(partner, "door-1".into(), true, act());
        let state = state.await.expect("disabled");
        assert_eq!((state.disabled, state.version.0), (true, 3));
    }
    assert_eq!(told(&place).await, before + 1);
}
