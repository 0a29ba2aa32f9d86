//! What an erasure leaves of the person.

use super::*;

/// A consent that nobody has withdrawn.
fn consent_of(resident: &Resident) -> NewConsent {
    NewConsent {
        resident: resident.id,
        reference: zeroize::Zeroizing::new("form 1".into()),
        consented_at: now(),
    }
}

#[tokio::test]
async fn what_events_knew_of_a_person_goes_and_the_pseudonym_stays() {
    let place = place().await;
    let (resident, partner) = (place.resident().await, place.partner().await);
    let other = place.resident().await;
    let id = place.use_key(&resident, partner).await;
    let others = place.use_key(&other, partner).await;
    let before = place.event_row(id).await;
    place.begin(&resident).await;
    let erased = place
        .store
        .biometrics_erased(resident.id, 0, None, None, now());
    erased.await.expect("told");
    place.take_all(&resident, 1).await;
    assert_eq!(place.erasure_of(&resident).await.counts.events, 1);
    let after = place.event_row(id).await;
    assert_eq!((after.resident_id, after.holder), (None, before.holder));
    assert!(after.sealed.is_empty());
    assert_eq!(after.dedupe, id.as_bytes());
    assert_eq!(place.event_row(others).await.resident_id, Some(other.id));
}

#[tokio::test]
async fn each_step_is_told_and_with_the_columns_the_logs_links_go() {
    use entity::audit_entry::{Column, Entity, Model};
    let place = place().await;
    let resident = place.resident().await;
    let key = place.store.resident_key(resident.id).await.expect("asked");
    let key = key.expect("a key");
    let told = Telling {
        who: Some(resident.audit_pseudonym),
        ..act()
    };
    let link = Link::plate(&plate());
    let told = place
        .store
        .new_entry(told, Some((&link, Sealer::Resident(&key))))
        .expect("an entry");
    let stored: Result<(), Error> = place
        .db
        .writer
        .write(move |txn| async move { Ok(log::insert(txn, vec![told]).await?) }.boxed())
        .await;
    stored.expect("stored");
    let entries = async || -> Vec<Model> {
        Entity::find()
            .filter(Column::AuditPseudonym.eq(resident.audit_pseudonym))
            .all(&place.db.read)
            .await
            .expect("entries")
    };
    place.begin(&resident).await;
    let erased = place
        .store
        .biometrics_erased(resident.id, 0, None, None, now());
    erased.await.expect("told");
    let before = entries().await;
    assert_eq!(before.iter().filter(|row| row.sealed.is_some()).count(), 1);

    place.take_all(&resident, 1).await;
    let after = entries().await;
    assert!(after.iter().all(|row| row.sealed.is_none()));
    let mut codes: Vec<&str> = after.iter().map(|row| row.code.as_str()).collect();
    codes.sort_unstable();
    let expected = [
        "begun",
        "biometrics_erased",
        "credentials_erased",
        "done",
        "finished",
        "key_destroyed",
        "tokens_erased",
        "vehicles_erased",
    ];
    assert_eq!(codes, expected);
}

/// By whoever had read the resident before.
#[tokio::test]
async fn nothing_is_written_for_somebody_who_is_being_erased() {
    let place = place().await;
    let (resident, partner) = (place.resident().await, place.partner().await);
    let key = place.store.resident_key(resident.id).await.expect("asked");
    let key = key.expect("a key");
    place.begin(&resident).await;

    let store = &place.store;
    let absent = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::NotFound(Noun::Resident))));
    };
    let vehicle = NewHolding::Vehicle(plate());
    let held = store
        .insert_holding(
            resident.id,
            &key,
            vehicle,
            since(),
            &ExternalIds::default(),
            act(),
        )
        .await;
    absent(held.map(drop));
    let member = Membership {
        household: place.household(place.site().await).await,
        resident: resident.id,
    };
    absent(store.add_member(member, act()).await.map(drop));
    let consent = store.record_consent(consent_of(&resident), now(), act());
    absent(consent.await.map(drop));
    let withdrawal = store.withdraw_consents(resident.id, now(), act()).await;
    absent(withdrawal.map(drop));
    absent(store.set_resident_state(resident.id, true, act()).await);
    let grant = StoredGrant {
        id: Uuid::now_v7(),
        holder: Holder::Resident(resident.id),
        target: Target::Device(Uuid::new_v4()),
        windows: vec![],
        ends_at: None,
        version: Version::FIRST,
    };
    let of = ObjectId {
        object: Object::Grant,
        id: grant.id,
    };
    let named = store.new_external_ids(of, &Owner::Nobody, &ExternalIds::default());
    absent(
        store
            .insert_grant(grant, named.expect("none"), 0, act())
            .await,
    );

    let pseudonym = ("p".to_owned(), partner, resident.id);
    let remembered = store.remember_pseudonyms(vec![pseudonym]).await;
    remembered.expect("passed over");
    let rows = entity::pseudonym::Entity::find().all(&place.db.read).await;
    assert!(rows.expect("rows").is_empty());

    let event = place.event(partner);
    let id = event.id;
    let new = store.new_event(event, &told(), Some(resident.id), Sealer::Resident(&key));
    let stored = store.insert_events(vec![vec![new.expect("one")]]).await;
    assert_eq!(stored.expect("stored"), [1]);
    let row = place.event_row(id).await;
    assert!(row.resident_id.is_none() && row.sealed.is_empty());
    assert_eq!(row.dedupe, id.as_bytes());
}

#[tokio::test]
async fn memberships_consents_and_other_systems_names_go_with_the_person() {
    let place = place().await;
    let store = &place.store;
    let site = place.site().await;
    let household = place.household(site).await;
    let resident = stranger();
    let named = [("registry".to_owned(), "person-1".to_owned())];
    let new = NewPerson {
        resident: resident.clone(),
        name: zeroize::Zeroizing::new("Anna Example".into()),
        sites: [].into(),
        joined: [(household, act())].into(),
        external_ids: ExternalIds::new(named).expect("ids"),
    };
    let inserted = store.insert_resident(new, 0, act()).await;
    assert_eq!(inserted.expect("inserted"), [site]);
    let first = store.record_consent(consent_of(&resident), now(), act());
    first.await.expect("recorded");
    let done = store.withdraw_consents(resident.id, now(), act()).await;
    let done = done.expect("withdrawn");
    store
        .templates_erased(done, &["r".into()], now(), act())
        .await
        .expect("told");
    let second = store.record_consent(consent_of(&resident), now(), act());
    second.await.expect("recorded");
    let open = store.withdraw_consents(resident.id, now(), act()).await;
    let open = open.expect("withdrawn");

    place.begin(&resident).await;
    let erased = store.biometrics_erased(resident.id, 0, None, None, now());
    erased.await.expect("told");
    place.take_all(&resident, 1).await;
    let counts = place.erasure_of(&resident).await.counts;
    assert_eq!((counts.households, counts.consents), (1, 2));
    assert_eq!((counts.external_ids, counts.sites), (1, 1));
    let of = ObjectId {
        object: Object::Resident,
        id: resident.id,
    };
    let names = store.external_ids_of(of).await.expect("asked");
    assert!(names.is_empty());
    // Whom the biometric store has yet to erase is known until it has.
    let left = store.unfinished_withdrawals(None).await.expect("asked");
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].id, left[0].subject), (open.id, open.subject));
    store
        .templates_erased(open, &[], now(), act())
        .await
        .expect("told");
    let rows = entity::withdrawal::Entity::find().all(&place.db.read).await;
    assert!(rows.expect("rows").is_empty());
}
