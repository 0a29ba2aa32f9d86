use jiff::SignedDuration;

use super::*;
use crate::{
    domain::external_id::{ExternalId, ExternalIds},
    store::{
        ObjectId, Owner,
        testing::{Place, act, now, place},
    },
};

impl Place {
    fn grant_names(&self, id: Uuid, names: &[(&str, &str)]) -> NewExternalIds {
        let owned = |(system, id): &(&str, &str)| ((*system).to_owned(), (*id).to_owned());
        let ids = ExternalIds::new(names.iter().map(owned)).expect("ids");
        let of = ObjectId {
            object: Object::Grant,
            id,
        };
        let new = self.store.new_external_ids(of, &Owner::Nobody, &ids);
        new.expect("ready")
    }

    async fn try_grant(&self, holder: Holder, target: Target) -> Result<StoredGrant, Error> {
        self.grant_until(holder, target, None).await
    }

    async fn grant_until(
        &self,
        holder: Holder,
        target: Target,
        ends_at: Option<Timestamp>,
    ) -> Result<StoredGrant, Error> {
        let grant = StoredGrant {
            id: Uuid::now_v7(),
            holder,
            target,
            windows: vec![],
            ends_at,
            version: Version::FIRST,
        };
        let names = self.grant_names(grant.id, &[]);
        self.store
            .insert_grant(grant.clone(), names, 0, act())
            .await?;
        Ok(grant)
    }

    async fn may(&self, resident: &Resident, device: Uuid) -> bool {
        let grants = grants_on(&self.db, &[(resident, device)]).await;
        !grants.expect("asked")[0].is_empty()
    }
}

#[tokio::test]
async fn rights_come_from_oneself_or_a_household_on_a_device_or_a_group() {
    let place = place().await;
    let (partner, site) = (place.partner().await, Uuid::new_v4());
    let resident = place.resident().await;
    let neighbour = place.resident().await;
    let home = place.home(site, &[resident.id]).await;
    let own = Holder::Resident(resident.id);
    for holder in [own, Holder::Household(home)] {
        let door = place.door(partner, site).await;
        let other = place.door(partner, site).await;
        let grouped = place.door(partner, site).await;
        let group = place.group_of(site, &[grouped]).await;
        for target in [Target::Device(door), Target::Group(group)] {
            place.try_grant(holder, target).await.expect("a grant");
        }
        for (device, expected) in [(door, true), (grouped, true), (other, false)] {
            assert_eq!(place.may(&resident, device).await, expected, "{holder:?}");
            assert!(!place.may(&neighbour, device).await, "{holder:?}");
        }
    }
}

#[tokio::test]
async fn a_households_right_is_not_its_guests() {
    let place = place().await;
    let (partner, site) = (place.partner().await, Uuid::new_v4());
    let resident = place.resident().await;
    let home = place.home(site, &[resident.id]).await;
    let (door, gate) = (
        place.door(partner, site).await,
        place.door(partner, site).await,
    );
    let held = Holder::Household(home);
    let given = place.try_grant(held, Target::Device(door)).await;
    given.expect("the household's");
    let guest = Resident {
        host: Some(home),
        ..resident.clone()
    };
    assert!(place.may(&resident, door).await);
    assert!(!place.may(&guest, door).await);
    let own = Holder::Resident(resident.id);
    let given = place.try_grant(own, Target::Device(gate)).await;
    given.expect("the guest's own");
    assert!(place.may(&guest, gate).await);
    let named = place.store.granted_devices(&[&guest], now()).await;
    assert_eq!(
        named.expect("asked"),
        HashMap::from([(guest.id, vec![gate])])
    );
}

#[tokio::test]
async fn a_token_names_what_each_of_many_may_open_by_now() {
    let place = place().await;
    let (partner, site) = (place.partner().await, Uuid::new_v4());
    let (first, second) = (place.resident().await, place.resident().await);
    let nobody = place.resident().await;
    let home = place.home(site, &[first.id, second.id]).await;
    let mut doors = Vec::new();
    for _ in 0..4 {
        doors.push(place.door(partner, site).await);
    }
    doors.sort();
    let group = place.group_of(site, &doors[1..3]).await;
    let own = Holder::Resident(first.id);
    let shared = Holder::Household(home);
    let hour = SignedDuration::from_hours(1);
    for (holder, target, ends_at) in [
        (own, Target::Device(doors[0]), Some(now() + hour)),
        (shared, Target::Group(group), None),
        (shared, Target::Device(doors[3]), Some(now() - hour)),
    ] {
        let granted = place.grant_until(holder, target, ends_at).await;
        granted.expect("a grant");
    }
    let residents = [&first, &second, &nobody];
    let granted = place.store.granted_devices(&residents, now()).await;
    let mut granted = granted.expect("asked");
    granted.values_mut().for_each(|devices| devices.sort());
    let expected = HashMap::from([
        (first.id, doors[..3].to_vec()),
        (second.id, doors[1..3].to_vec()),
    ]);
    assert_eq!(granted, expected);
}

#[tokio::test]
async fn nobody_holds_a_right_who_is_not_there_and_none_is_on_nothing() {
    let place = place().await;
    let (partner, site) = (place.partner().await, Uuid::new_v4());
    let resident = place.resident().await;
    let door = Target::Device(place.door(partner, site).await);
    let own = Holder::Resident(resident.id);
    let absent = Uuid::new_v4();
    for (holder, target, expected) in [
        (Holder::Resident(absent), door, Noun::Resident),
        (Holder::Household(absent), door, Noun::Household),
        (own, Target::Device(absent), Noun::Device),
        (own, Target::Group(absent), Noun::DeviceGroup),
    ] {
        let refused = place.try_grant(holder, target).await;
        assert!(matches!(refused, Err(Error::NotFound(noun)) if noun == expected));
    }
    let page = Page {
        after: None,
        limit: 10,
    };
    let listed = place.store.list_grants(GrantFilter::All, page).await;
    assert!(listed.expect("listed").is_empty());
}

#[tokio::test]
async fn only_the_grant_that_was_read_is_changed_or_revoked() {
    let place = place().await;
    let (partner, site) = (place.partner().await, Uuid::new_v4());
    let resident = place.resident().await;
    let door = Target::Device(place.door(partner, site).await);
    let grant = place.try_grant(Holder::Resident(resident.id), door).await;
    let grant = grant.expect("a grant");
    let first = IfMatch::of(grant.version.etag());
    let change = |external_ids| GrantChange {
        windows: None,
        ends_at: Some(Some(now())),
        external_ids,
    };
    let store = &place.store;
    let update = async |change, if_match: &IfMatch| {
        let if_match = if_match.clone();
        store.update_grant(grant.id, change, if_match, act()).await
    };
    let named = place.grant_names(grant.id, &[("a", "1")]);
    let changed = update(change(Some((grant.version, named))), &first).await;
    let changed = changed.expect("changed");
    assert_eq!(changed.version, Version(2));
    assert!(changed.ends_at.is_some());

    let stale = update(change(None), &first).await;
    assert!(matches!(stale, Err(Error::EtagMismatch)));
    // Names that were read of an older state would take another's away.
    let named = place.grant_names(grant.id, &[("b", "2")]);
    let any = IfMatch::default();
    let stale = update(change(Some((grant.version, named))), &any).await;
    assert!(matches!(stale, Err(Error::EtagMismatch)));
    let name = ExternalId::new("a".into(), "1".into()).expect("an id");
    let found = store.resolve_one(Object::Grant, name.clone()).await;
    assert_eq!(found.expect("asked"), Some(grant.id));

    let stale = store.delete_grant(grant.id, first, act()).await;
    assert!(matches!(stale, Err(Error::EtagMismatch)));
    let current = IfMatch::of(changed.version.etag());
    let gone = store.delete_grant(grant.id, current, act()).await;
    gone.expect("revoked");
    let found = store.resolve_one(Object::Grant, name).await;
    assert_eq!(found.expect("asked"), None, "its name goes with it");
    let again = store.delete_grant(grant.id, any, act()).await;
    assert!(matches!(again, Err(Error::NotFound(Noun::Grant))));
}
