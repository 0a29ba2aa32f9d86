mod person;

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
