use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::{
    domain::{
        event::CredentialKind,
        external_id::{ExternalId, ExternalIds, Object},
    },
    error::Noun,
    store::{
        ObjectId, Owner,
        testing::{Place, act, now, place, plate},
    },
};

fn named(id: &str) -> ExternalIds {
    ExternalIds::new([("reg".to_owned(), id.to_owned())]).expect("ids")
}

/// A site and a building of a site.
fn places(place: &Place, name: &str, site: Uuid, below: Uuid) -> NewObjects {
    let mut new = NewObjects::default();
    new.site(site, name.to_owned(), 0);
    new.building(Uuid::now_v7(), below, name.to_owned(), 0);
    let object = ObjectId {
        object: Object::Site,
        id: site,
    };
    let external_ids = place
        .store
        .new_external_ids(object, &Owner::Nobody, &named("S-1"));
    new.name(external_ids.expect("ids"));
    place.store.entry_of(&mut new, act()).expect("an entry");
    new
}

async fn there(place: &Place, id: Uuid) -> bool {
    let sites = place.store.sites_among(vec![id]).await.expect("asked");
    sites.contains(&id)
}

async fn site(place: &Place) -> Uuid {
    let id = Uuid::now_v7();
    let mut new = NewObjects::default();
    new.site(id, "North".to_owned(), 0);
    place.store.insert_objects(new).await.expect("stored");
    id
}

#[tokio::test]
async fn all_of_it_is_stored_or_nothing() {
    let place = place().await;
    let standing = site(&place).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let new = places(&place, "Nowhere", first, Uuid::now_v7());
    let refused = place.store.insert_objects(new).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Site))));
    assert!(!there(&place, first).await);

    let new = places(&place, "South", first, standing);
    place.store.insert_objects(new).await.expect("stored");
    assert!(there(&place, first).await);
    let id = ExternalId::new("reg".into(), "S-1".into()).expect("an id");
    let found = place.store.resolve_one(Object::Site, id).await;
    assert_eq!(found.expect("asked"), Some(first));

    // Somebody else took the external id between the look and the writing.
    let new = places(&place, "Twin", second, standing);
    let refused = place.store.insert_objects(new).await;
    assert!(matches!(refused, Err(Error::Exists(Noun::ExternalId))));
    assert!(!there(&place, second).await);
}

#[tokio::test]
async fn a_resident_and_a_key_are_found_as_if_they_had_come_alone() {
    let place = place().await;
    let (site, partner) = (site(&place).await, place.partner().await);
    let mut new = NewObjects::default();
    let person = ImportedPerson {
        id: Uuid::now_v7(),
        audit_pseudonym: Uuid::new_v4(),
        name: Zeroizing::new("Vera Example".into()),
        sites: [site].into(),
        households: BTreeSet::new(),
    };
    let id = person.id;
    let key = place.store.resident_of(&mut new, person, 0).expect("a key");
    let object = ObjectId {
        object: Object::Resident,
        id,
    };
    let owner = Owner::Resident(id, &key);
    let external_ids = place.store.new_external_ids(object, &owner, &named("R-1"));
    new.name(external_ids.expect("ids"));
    place.store.insert_objects(new).await.expect("stored");
    let theirs = place.store.external_ids_of(object).await.expect("asked");
    assert!(theirs == named("R-1"));

    let sought = Sought::credential(partner, CredentialKind::Key, "key-9");
    let held_since = Held {
        from: now(),
        to: None,
    };
    let held = async || {
        let mut new = NewObjects::default();
        let what = (HoldingKind::Key, Some(Used { partner, site }), &sought);
        let holding = Uuid::now_v7();
        place
            .store
            .holding_of(&mut new, holding, (id, &key), what, held_since)
            .expect("sealed");
        place.store.insert_objects(new).await
    };
    held().await.expect("stored");
    assert!(matches!(held().await, Err(Error::Exists(Noun::Holding))));
    let holdings = place
        .store
        .credential_holdings(&[(
            Sought::credential(partner, CredentialKind::Key, "key-9"),
            [site].as_slice(),
        )])
        .await
        .expect("asked");
    assert_eq!(holdings[0].len(), 1);
}

#[tokio::test]
async fn a_vehicle_is_refused_to_whom_has_it_already() {
    let place = place().await;
    let (first, second) = (place.resident().await.id, place.resident().await.id);
    let held = Held {
        from: now(),
        to: None,
    };
    let import = async |resident: Uuid| {
        let key = place.store.resident_key(resident).await.expect("asked");
        let key = key.expect("a key");
        let sought = Sought::plate(&plate());
        let alone = place.store.held_alone(resident, &sought, held);
        let there = place.store.held_already(&[alone]).await.expect("asked");
        let mut new = NewObjects::default();
        let what = (HoldingKind::Vehicle, None, &sought);
        place
            .store
            .holding_of(&mut new, Uuid::now_v7(), (resident, &key), what, held)
            .expect("sealed");
        (there, place.store.insert_objects(new).await)
    };
    let (there, stored) = import(first).await;
    stored.expect("stored");
    assert_eq!(there, [false]);
    let (there, stored) = import(first).await;
    assert_eq!(there, [true]);
    assert!(matches!(stored, Err(Error::Exists(Noun::Holding))));
    let (there, stored) = import(second).await;
    stored.expect("another resident's too");
    assert_eq!(there, [false]);
}
