use jiff::SignedDuration;

use super::*;
use crate::{
    domain::etag::IfMatch,
    store::{
        Membership, ObjectId, Owner,
        testing::{Place, act, now, place, stranger},
    },
};

impl Place {
    async fn told(&self, id: Uuid) -> ToldResident {
        let told = self.store.told_resident(id, true).await.expect("asked");
        told.expect("somebody")
    }

    async fn change(&self, id: Uuid, if_match: IfMatch, sites: &[Uuid]) -> Result<bool, Error> {
        let change = ResidentChange {
            name: None,
            sites: Some(sites.iter().copied().collect()),
            external_ids: None,
            read: Version::FIRST,
        };
        self.store
            .update_resident(id, if_match, change, act())
            .await
    }

    async fn pending(&self) -> Vec<Uuid> {
        let page = Page {
            after: None,
            limit: 10,
        };
        self.store.pending_galleries(page).await.expect("asked")
    }
}

#[tokio::test]
async fn whoever_stays_pending_does_not_hide_those_behind() {
    let place = place().await;
    let mut residents = vec![];
    for _ in 0..5 {
        let resident = place.resident().await.id;
        place
            .store
            .settle_galleries(resident, None)
            .await
            .expect("untold");
        residents.push(resident);
    }
    residents.sort();
    let (mut seen, mut after) = (vec![], None);
    loop {
        let page = Page { after, limit: 2 };
        let some = place.store.pending_galleries(page).await.expect("asked");
        after = some.last().copied();
        if after.is_none() {
            break;
        }
        seen.extend(some);
    }
    assert_eq!(seen, residents);
}

#[tokio::test]
async fn sites_of_households_are_a_residents_and_cannot_be_taken_away() {
    let place = place().await;
    let (home, other) = (place.site().await, place.site().await);
    let household = place.household(home).await;
    let resident = stranger();
    let id = resident.id;
    let new = NewPerson {
        resident,
        name: Zeroizing::new("Anna Example".into()),
        sites: [].into(),
        joined: [(household, act())].into(),
        external_ids: ExternalIds::default(),
    };
    let inserted = place.store.insert_resident(new, 0, act()).await;
    assert_eq!(inserted.expect("inserted"), [home]);
    assert!(
        place
            .change(id, IfMatch::default(), &[other])
            .await
            .expect("moved")
    );
    let told = place.told(id).await;
    assert_eq!(told.sites, [home, other]);
    assert_eq!(told.households, [household]);
    assert_eq!(told.name.expect("a name").as_str(), "Anna Example");
    assert!(
        place
            .change(id, IfMatch::default(), &[])
            .await
            .expect("moved")
    );
    assert_eq!(place.told(id).await.sites, [home]);

    let nowhere = place
        .change(id, IfMatch::default(), &[Uuid::now_v7()])
        .await;
    assert!(matches!(nowhere, Err(Error::NotFound(Noun::Site))));
    let homeless = place.resident_at(home).await;
    let nowhere = place.change(homeless.id, IfMatch::default(), &[]).await;
    assert!(matches!(
        nowhere,
        Err(Error::InvalidField {
            field: "site_ids",
            ..
        })
    ));
}

#[tokio::test]
async fn the_biometric_store_is_told_again_of_what_changed_meanwhile() {
    let place = place().await;
    let (home, other) = (place.site().await, place.site().await);
    let id = place.resident_at(home).await.id;
    assert_eq!(place.pending().await, Vec::<Uuid>::new());
    let first = place.change(id, IfMatch::default(), &[other]).await;
    assert!(first.expect("moved"));
    assert_eq!(place.pending().await, [id]);
    let told = place
        .store
        .galleries(id)
        .await
        .expect("asked")
        .expect("some");
    assert_eq!(told.sites, [other]);
    // Another change, before what was told has arrived.
    let second = place.change(id, IfMatch::default(), &[home, other]).await;
    assert!(second.expect("moved"));
    let late = place.store.settle_galleries(id, Some(told.version));
    late.await.expect("settled");
    assert_eq!(place.pending().await, [id]);

    let told = place
        .store
        .galleries(id)
        .await
        .expect("asked")
        .expect("some");
    let settled = place.store.settle_galleries(id, Some(told.version));
    settled.await.expect("settled");
    assert_eq!(place.pending().await, Vec::<Uuid>::new());
    // The first one's word, come last.
    let overtaken = place.store.settle_galleries(id, None);
    overtaken.await.expect("settled");
    assert_eq!(place.pending().await, [id]);
}

#[tokio::test]
async fn who_read_another_state_changes_nothing() {
    let place = place().await;
    let (home, other) = (place.site().await, place.site().await);
    let resident = place.resident_at(home).await;
    let read = || IfMatch::of(resident.version.etag());
    let changed = place.change(resident.id, read(), &[other]).await;
    assert!(changed.expect("changed"));
    let again = place.change(resident.id, read(), &[home]).await;
    assert!(matches!(again, Err(Error::EtagMismatch)));
    let told = place.told(resident.id).await;
    assert_eq!(
        (told.sites, told.resident.version),
        (vec![other], Version(2))
    );
    // The same sites again are no change of them.
    let same = place
        .change(resident.id, IfMatch::default(), &[other])
        .await;
    assert!(!same.expect("changed"));
}

#[tokio::test]
async fn other_systems_names_are_told_and_belong_to_one() {
    let place = place().await;
    let site = place.site().await;
    let (first, second) = (place.resident_at(site).await, place.resident_at(site).await);
    let name = async |resident: &Resident| {
        let key = place.store.resident_key(resident.id).await.expect("asked");
        let key = key.expect("a key");
        let ids = ExternalIds::new([("registry".to_owned(), "p-1".to_owned())]).expect("ids");
        let of = ObjectId {
            object: Object::Resident,
            id: resident.id,
        };
        let new = place
            .store
            .new_external_ids(of, &Owner::Resident(resident.id, &key), &ids);
        let change = ResidentChange {
            name: None,
            sites: None,
            external_ids: Some(new.expect("rows")),
            read: resident.version,
        };
        let any = IfMatch::default();
        place
            .store
            .update_resident(resident.id, any, change, act())
            .await
    };
    assert!(!name(&first).await.expect("named"));
    let taken = name(&second).await;
    assert!(matches!(taken, Err(Error::Exists(Noun::ExternalId))));
    // Read before it changed.
    assert!(matches!(name(&first).await, Err(Error::Overtaken)));
    let page = Page {
        after: None,
        limit: 10,
    };
    let listed = place.store.list_residents(Some(site), page, false).await;
    let listed = listed.expect("listed");
    assert_eq!(listed.len(), 2);
    for told in &listed {
        assert_eq!(told.external_ids.is_empty(), told.resident.id == second.id);
        assert!(told.name.is_none());
    }
    let elsewhere = place
        .store
        .list_residents(Some(Uuid::now_v7()), page, false);
    assert!(elsewhere.await.expect("listed").is_empty());
}

#[tokio::test]
async fn a_guest_whose_end_has_passed_is_recognised_no_more() {
    let place = place().await;
    let site = place.site().await;
    let end = now() + SignedDuration::from_hours(1);
    let guest = Resident {
        host: Some(place.household(site).await),
        guest_until: Some(end),
        ..stranger()
    };
    let new = NewPerson {
        resident: guest.clone(),
        name: Zeroizing::new(String::new()),
        sites: [site].into(),
        joined: [].into(),
        external_ids: ExternalIds::default(),
    };
    let inserted = place.store.insert_resident(new, 0, act()).await;
    inserted.expect("inserted");
    for (at, is_here) in [(now(), true), (end, false)] {
        let found = place.store.resident_by_subject(guest.subject, at).await;
        assert_eq!(found.expect("asked").is_some(), is_here);
        let found = place.store.residents_by_subject(vec![guest.subject], at);
        assert_eq!(found.await.expect("asked").len(), usize::from(is_here));
    }
    let member = Membership {
        household: place.household(site).await,
        resident: guest.id,
    };
    let refused = place.store.add_member(member, act()).await;
    assert!(matches!(
        refused,
        Err(Error::InvalidField {
            field: "resident_id",
            ..
        })
    ));
}
