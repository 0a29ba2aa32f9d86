use mesh::custody::Custodian;
use sea_orm::{ColumnTrait, QueryFilter};

use super::*;
use crate::{
    domain::{
        entry::Link,
        etag::Version,
        event::{CredentialKind, CredentialOpening, Event},
        external_id::{ExternalIds, Object},
        grant::{Holder, Target},
    },
    error::Noun,
    store::{
        Membership, NewConsent, NewHolding, NewPerson, ObjectId, Owner, Page, Resident, Sealer,
        StoredGrant,
        testing::{Place, act, key_of, now, place, plate, since, stranger},
    },
};

/// A consent that nobody has withdrawn.
fn consent_of(resident: &Resident) -> NewConsent {
    NewConsent {
        resident: resident.id,
        reference: zeroize::Zeroizing::new("form 1".into()),
        consented_at: now(),
    }
}

const SERVICE: &str = "biometric-svc";

fn receipt(jws: &str) -> GivenReceipt {
    GivenReceipt {
        service: SERVICE.into(),
        jws: jws.into(),
    }
}

/// An opening by the resident's key.
fn told() -> CredentialOpening {
    CredentialOpening {
        credential_id: zeroize::Zeroizing::new("key-1".into()),
        opened_at: now(),
        device_id: None,
        event_id: None,
    }
}

impl Place {
    async fn begin(&self, resident: &Resident) -> Erasure {
        let order = Order {
            reason: Reason::Requested,
            requested_by: "operator/privacy/x".into(),
        };
        let begun = self.store.begin_erasure(resident.id, order, now()).await;
        begun.expect("begun").expect("somebody")
    }

    async fn erasure_of(&self, resident: &Resident) -> Erasure {
        let found = self.store.erasure(Whom::Resident(resident.id)).await;
        found.expect("asked").expect("an erasure")
    }

    async fn take_all(&self, resident: &Resident, epoch: i64) {
        for step in [
            Step::Key,
            Step::Tokens,
            Step::Vehicles,
            Step::Credentials,
            Step::Columns,
        ] {
            let taken = self.store.erase_rows(resident.id, step, epoch, now());
            taken.await.expect("taken");
        }
    }

    fn event(&self, partner: Uuid) -> Event {
        Event {
            id: Uuid::now_v7(),
            kind: CredentialKind::Key,
            partner,
            device_id: None,
            device_known: false,
            holder: Some(Uuid::new_v4()),
            opened_at: now(),
            received_at: now(),
        }
    }

    /// Stores an event of the resident's key; its id.
    async fn use_key(&self, resident: &Resident, partner: Uuid) -> Uuid {
        let key = self.store.resident_key(resident.id).await.expect("asked");
        let key = key.expect("a key");
        let event = self.event(partner);
        let id = event.id;
        let sealer = Sealer::Resident(&key);
        let new = self
            .store
            .new_event(event, &told(), Some(resident.id), sealer);
        let stored = self
            .store
            .insert_events(vec![vec![new.expect("one")]])
            .await;
        stored.expect("stored");
        id
    }

    async fn event_row(&self, id: Uuid) -> entity::event::Model {
        entity::event::Entity::find_by_id(id)
            .one(&self.db.read)
            .await
            .expect("asked")
            .expect("a row")
    }
}

#[tokio::test]
async fn erasures_are_listed_the_newest_first() {
    let place = place().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(place.resident().await.id);
    }
    ids.sort_unstable();
    let later = now() + jiff::SignedDuration::from_hours(1);
    // The oldest resident goes last, the other two at one moment.
    for (id, at) in [(ids[1], now()), (ids[2], now()), (ids[0], later)] {
        let order = Order {
            reason: Reason::Requested,
            requested_by: "operator/privacy/x".into(),
        };
        let begun = place.store.begin_erasure(id, order, at).await;
        begun.expect("begun").expect("somebody");
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = place.store.list_erasures(false, Page { after, limit: 1 });
        let Some(one) = page.await.expect("listed").pop() else {
            break;
        };
        after = Some(one.resident);
        listed.push(one.resident);
    }
    assert_eq!(listed, [ids[0], ids[2], ids[1]]);
}

#[tokio::test]
async fn a_step_is_taken_once_and_in_its_order() {
    let place = place().await;
    let (resident, partner) = (place.resident().await, place.partner().await);
    let vehicle = NewHolding::Vehicle(plate());
    place.hold(resident.id, vehicle).await;
    let key = key_of(partner, Uuid::new_v4());
    place.hold(resident.id, key).await;
    let begun = place.begin(&resident).await;
    assert_eq!(begun.subject, Some(resident.subject));
    // Not before its time.
    place.take_all(&resident, 1).await;
    assert_eq!(place.erasure_of(&resident).await.step, Step::Rights);

    for (templates, jws) in [(2, "first"), (7, "second")] {
        let id = resident.id;
        let erased = place
            .store
            .biometrics_erased(id, templates, Some(receipt(jws)), None, now());
        erased.await.expect("told");
    }
    for epoch in [1, 2] {
        place.take_all(&resident, epoch).await;
    }
    let erasure = place.erasure_of(&resident).await;
    assert_eq!(erasure.step, Step::Columns);
    assert_eq!((erasure.subject, erasure.epoch), (None, Some(1)));
    let expected = Counts {
        templates: 2,
        names: 1,
        vehicles: 1,
        credentials: 1,
        sites: 1,
        ..Counts::default()
    };
    assert_eq!(erasure.counts, expected);
    assert!(erasure.erased_at.is_some());
    let receipts = place.store.erasure_receipts(vec![resident.id]).await;
    assert_eq!(receipts.expect("some")[&resident.id], [receipt("first")]);

    // Begun again it is the same.
    assert_eq!(place.begin(&resident).await.step, Step::Columns);
    let nobody = Order::default();
    let nobody = place.store.begin_erasure(Uuid::new_v4(), nobody, now());
    assert!(nobody.await.expect("asked").is_none());
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
async fn an_ended_epoch_makes_its_own_erasures_final() {
    let place = place().await;
    let mut residents = Vec::new();
    for epoch in [1, 2] {
        let resident = place.resident().await;
        place.begin(&resident).await;
        let erased = place
            .store
            .biometrics_erased(resident.id, 1, None, None, now());
        erased.await.expect("told");
        place.take_all(&resident, epoch).await;
        let number = u64::try_from(epoch).expect("a number");
        let written = place
            .store
            .erasure_in_ledger(resident.id, number, now())
            .await;
        written.expect("written");
        let own =
            place
                .store
                .erasure_receipted(resident.id, Step::Receipt, receipt("own"), None, now());
        own.await.expect("receipted");
        residents.push(resident);
    }
    assert_eq!(place.store.last_ledger_number().await.expect("one"), 2);
    let unfinished = || place.store.unfinished_erasures();
    assert_eq!(unfinished().await.expect("asked"), Vec::<Uuid>::new());

    for at in [now(), now()] {
        place.records.epoch_ended(1, at).await.expect("told");
    }
    let first = place.erasure_of(&residents[0]).await;
    assert!(first.final_at.is_some());
    assert_eq!(place.erasure_of(&residents[1]).await.final_at, None);
    assert_eq!(unfinished().await.expect("asked"), [residents[0].id]);
    let last = place.store.erasure_receipted(
        residents[0].id,
        Step::Final,
        receipt("last"),
        first.final_at,
        now(),
    );
    last.await.expect("receipted");
    assert_eq!(place.erasure_of(&residents[0]).await.step, Step::Final);
    assert_eq!(unfinished().await.expect("asked"), Vec::<Uuid>::new());
}

#[tokio::test]
async fn what_the_ledger_names_and_the_store_still_has_is_begun_again() {
    let place = place().await;
    let (resident, absent) = (place.resident().await, Uuid::now_v7());
    let at = mesh::clock::from_micros(1_000_000);
    let entry = |number, id, pseudonym| Entry {
        number,
        id,
        pseudonym,
        at,
    };
    for entry in [
        entry(1, resident.id, resident.audit_pseudonym),
        entry(2, absent, Uuid::new_v4()),
    ] {
        let begun = place.store.replay_erasure(entry, now()).await;
        begun.expect("begun");
    }
    assert!(
        place
            .store
            .resident(resident.id)
            .await
            .expect("asked")
            .is_none()
    );
    for id in [resident.id, absent] {
        let erasure = place.store.erasure(Whom::Resident(id)).await;
        let erasure = erasure.expect("asked").expect("begun");
        assert_eq!(erasure.step, Step::Biometrics);
        assert!(erasure.replayed && erasure.subject.is_none());
        assert_eq!(erasure.erased_at, Some(at));
    }
    place.take_all(&resident, 1).await;
    let erasure = place.erasure_of(&resident).await;
    assert_eq!((erasure.counts.names, erasure.erased_at), (1, Some(at)));
    // Done once, it is not begun again.
    let again = entry(1, resident.id, resident.audit_pseudonym);
    place
        .store
        .replay_erasure(again, now())
        .await
        .expect("known");
    assert_eq!(place.erasure_of(&resident).await.step, Step::Columns);
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
