use super::*;
use crate::store::testing::{Place, act, place};

impl Place {
    async fn members(&self, household: Uuid) -> Vec<Uuid> {
        let page = Page {
            after: None,
            limit: 10,
        };
        let members = self.store.list_members(household, page).await;
        members.expect("members")
    }

    async fn rows<E: EntityTrait>(&self) -> usize {
        E::find().all(&self.db.read).await.expect("rows").len()
    }
}

#[tokio::test]
async fn a_member_lives_at_the_households_site_and_is_added_once() {
    let place = place().await;
    let (home, other) = (place.site().await, place.site().await);
    let resident = place.resident_at(other).await;
    let new = Membership {
        household: place.household(home).await,
        resident: resident.id,
    };
    let add = || place.store.add_member(new, act());
    assert!(add().await.expect("added"));
    assert!(!add().await.expect("added"));
    assert_eq!(place.members(new.household).await, [resident.id]);
    let told = place.store.told_resident(resident.id, false).await;
    let told = told.expect("asked").expect("somebody");
    assert_eq!(told.sites, [home, other]);
    assert_eq!(
        (told.households, told.resident.version),
        (vec![new.household], Version(2))
    );

    for _ in 0..2 {
        let removed = place.store.remove_member(new, act()).await;
        removed.expect("removed");
    }
    assert_eq!(place.members(new.household).await, Vec::<Uuid>::new());
    let sites = place.store.galleries(resident.id).await.expect("asked");
    assert_eq!(sites.expect("some").sites, [home, other]);
    let nowhere = Membership {
        household: Uuid::now_v7(),
        ..new
    };
    let refused = place.store.add_member(nowhere, act()).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Household))));
}

#[tokio::test]
async fn a_household_goes_with_its_rights_once_nobody_lives_there() {
    let place = place().await;
    let home = place.site().await;
    let resident = place.resident_at(home).await;
    let household = place.household(home).await;
    let member = Membership {
        household,
        resident: resident.id,
    };
    place.store.add_member(member, act()).await.expect("added");
    place
        .write(move |txn| {
            async move {
                entity::grant::Entity::insert(entity::grant::ActiveModel {
                    id: Set(Uuid::now_v7()),
                    resident_id: Set(None),
                    household_id: Set(Some(household)),
                    device_uid: Set(Some(Uuid::now_v7())),
                    group_id: Set(None),
                    windows: Set("[]".into()),
                    ends_at: Set(None),
                    version: Set(1),
                    created_at: Set(0),
                })
                .exec_without_returning(txn)
                .await?;
                entity::subscription::Entity::insert(entity::subscription::ActiveModel {
                    household_id: Set(household),
                    site_id: Set(home),
                    kind: Set(1),
                    paid_until: Set(0),
                    grace_days: Set(0),
                    suspended: Set(false),
                    as_of: Set(0),
                    version: Set(1),
                })
                .exec_without_returning(txn)
                .await?;
                Ok(())
            }
            .boxed()
        })
        .await;
    let delete = |etag: &str| {
        let if_match = IfMatch::of(etag.to_owned());
        place.store.delete_household(household, if_match, act())
    };
    let used = delete("").await;
    assert!(matches!(used, Err(Error::InUse(Noun::Household))));
    let removed = place.store.remove_member(member, act()).await;
    removed.expect("removed");
    assert!(matches!(delete("\"7\"").await, Err(Error::EtagMismatch)));
    delete("").await.expect("deleted");
    assert_eq!(place.rows::<entity::grant::Entity>().await, 0);
    assert_eq!(place.rows::<entity::subscription::Entity>().await, 0);
    let gone = delete("").await;
    assert!(matches!(gone, Err(Error::NotFound(Noun::Household))));
}

#[tokio::test]
async fn the_audit_log_seals_where_somebody_lives() {
    use entity::audit_entry::{Column, Entity};
    let place = place().await;
    let home = place.site().await;
    let (resident, household) = (place.resident_at(home).await, place.household(home).await);
    let member = Membership {
        household,
        resident: resident.id,
    };
    place.store.add_member(member, act()).await.expect("added");
    let removed = place.store.remove_member(member, act()).await;
    removed.expect("removed");
    let told = Entity::find()
        .filter(Column::AuditPseudonym.eq(resident.audit_pseudonym))
        .all(&place.db.read)
        .await
        .expect("entries");
    assert_eq!(told.len(), 2);
    for entry in told {
        assert!(entry.sealed.is_some());
        let payload = String::from_utf8_lossy(&entry.payload).into_owned();
        assert!(!payload.contains(&household.to_string()), "{payload}");
    }
}

#[tokio::test]
async fn a_building_is_of_the_households_site() {
    let place = place().await;
    let (home, other) = (place.site().await, place.site().await);
    let building = Uuid::now_v7();
    place
        .write(move |txn| {
            async move {
                entity::building::Entity::insert(entity::building::ActiveModel {
                    id: Set(building),
                    site_id: Set(home),
                    name: Set("b".into()),
                    version: Set(1),
                    created_at: Set(0),
                })
                .exec_without_returning(txn)
                .await?;
                Ok(())
            }
            .boxed()
        })
        .await;
    let put = async |household: Uuid, building: Option<Uuid>| {
        let change = HouseholdChange {
            building: Some(building),
            unit: Some("7/2".into()),
            external_ids: None,
            read: Version::FIRST,
        };
        let any = IfMatch::default();
        place
            .store
            .update_household(household, any, change, act())
            .await
    };
    let (here, there) = (place.household(home).await, place.household(other).await);
    let moved = put(here, Some(building)).await.expect("put");
    assert_eq!(
        (moved.building, moved.version),
        (Some(building), Version(2))
    );
    assert_eq!(moved.unit, "7/2");
    let foreign = put(there, Some(building)).await;
    assert!(matches!(
        foreign,
        Err(Error::InvalidField {
            field: "building_id",
            ..
        })
    ));
    let absent = put(here, Some(Uuid::now_v7())).await;
    assert!(matches!(absent, Err(Error::NotFound(Noun::Building))));
    assert_eq!(put(here, None).await.expect("put").building, None);
    let stored = place.store.household(here).await.expect("asked");
    assert_eq!(stored.expect("one").version, Version(3));
}
