use jiff::SignedDuration;

use super::*;
use crate::{
    domain::erasure::Reason,
    store::testing::{Place, act, now, place},
};

const FIRST: Page = Page {
    after: None,
    limit: 10,
};

fn form(resident: &Resident, reference: &str, consented_at: Timestamp) -> NewConsent {
    NewConsent {
        resident: resident.id,
        reference: Zeroizing::new(reference.into()),
        consented_at,
    }
}

impl Place {
    async fn record(&self, new: NewConsent) -> Result<Uuid, Error> {
        self.store.record_consent(new, now(), act()).await
    }

    async fn consents_of(&self, resident: &Resident) -> Vec<Consent> {
        let listed = self
            .store
            .list_consents(Some(resident.id), FIRST, true)
            .await;
        listed.expect("listed")
    }

    async fn enrol(&self, new: NewConsent) -> Result<Resident, Error> {
        let begun = self.store.begin_enrolment(new, now(), act(), act()).await;
        begun.map(|(resident, _)| resident)
    }

    async fn told_codes(&self, code: &str) -> usize {
        use entity::audit_entry::{Column, Entity};
        let rows = Entity::find().filter(Column::Code.eq(code));
        rows.all(&self.db.read).await.expect("entries").len()
    }
}

#[tokio::test]
async fn the_same_form_is_one_consent() {
    let place = place().await;
    let resident = place.resident().await;
    let at = now();
    let first = place.record(form(&resident, "form 1", at)).await;
    let again = place.record(form(&resident, "form 1", at)).await;
    assert_eq!(first.expect("recorded"), again.expect("recorded"));
    let other = place.record(form(&resident, "form 2", at)).await;
    other.expect("recorded");
    let listed = place.consents_of(&resident).await;
    let references = listed
        .iter()
        .filter_map(|consent| consent.reference.as_ref());
    let references: Vec<&str> = references.map(|reference| reference.as_str()).collect();
    assert_eq!(references, ["form 1", "form 2"]);
    assert!(listed.iter().all(|consent| consent.withdrawal.is_none()));
    let rows = consent::Entity::find().all(&place.db.read).await;
    for row in rows.expect("rows") {
        assert!(!row.reference_sealed.windows(4).any(|part| part == b"form"));
    }
}

#[tokio::test]
async fn a_withdrawal_ends_all_consents_and_the_person_goes_on_as_another_subject() {
    let place = place().await;
    let resident = place.resident().await;
    for reference in ["form 1", "form 2"] {
        let recorded = place.record(form(&resident, reference, now())).await;
        recorded.expect("recorded");
    }
    let withdraw = async || {
        let telling = Entry {
            code: "consent_withdrawn".into(),
            actor: Some("operator/privacy/x".into()),
            ..act()
        };
        let withdrawn = place.store.withdraw_consents(resident.id, now(), telling);
        withdrawn.await.expect("withdrawn")
    };
    let withdrawn = withdraw().await;
    assert_eq!(withdrawn.subject, Some(resident.subject));
    let at = now();
    let found = place.store.resident_by_subject(resident.subject, at).await;
    assert!(found.expect("asked").is_none());
    let person = place.store.resident(resident.id).await.expect("asked");
    assert_ne!(person.expect("there").subject, resident.subject);
    // Again it is the same, and tells nothing.
    assert_eq!(withdraw().await.id, withdrawn.id);
    assert_eq!(place.told_codes("consent_withdrawn").await, 1);
    let unfinished = place.store.unfinished_withdrawals(Some(resident.id)).await;
    let order = unfinished.expect("asked")[0].order();
    assert_eq!(order.reason, Reason::ConsentWithdrawn);
    assert_eq!(order.requested_by, "operator/privacy/x");

    let receipts = ["a receipt".to_owned()];
    for _ in 0..2 {
        let done = place
            .store
            .templates_erased(withdrawn.clone(), &receipts, now(), act());
        done.await.expect("told");
    }
    let left = place.store.unfinished_withdrawals(None).await;
    assert!(left.expect("asked").is_empty());
    let ended = place.store.consents_withdrawn_by(withdrawn.id, false).await;
    let ended = ended.expect("consents");
    assert_eq!(ended.len(), 2);
    for consent in &ended {
        let withdrawal = consent.withdrawal.as_ref().expect("withdrawn");
        assert_eq!(withdrawal.receipts, receipts);
        assert!(withdrawal.subject.is_none() && withdrawal.erased_at.is_some());
        assert!(consent.reference.is_none());
    }
}

#[tokio::test]
async fn nothing_is_enrolled_under_what_was_withdrawn() {
    let place = place().await;
    let resident = place.resident().await;
    let before = now() - SignedDuration::from_hours(1);
    let enrolled = place.enrol(form(&resident, "form 1", before)).await;
    let enrolled = enrolled.expect("begun");
    let withdrawn = place
        .store
        .withdraw_consents(resident.id, now(), act())
        .await;
    withdrawn.expect("withdrawn");
    // The enrolment that had begun is outrun.
    let ended = place.store.end_enrolment(enrolled, act()).await;
    assert_eq!(ended.expect("ended"), Some(Outrun::Withdrawn));
    for reference in ["form 1", "form 0"] {
        let refused = place.enrol(form(&resident, reference, before)).await;
        assert!(
            matches!(refused, Err(Error::ConsentWithdrawn)),
            "{reference}"
        );
    }
    let fresh = place.enrol(form(&resident, "form 2", now())).await;
    let ended = place
        .store
        .end_enrolment(fresh.expect("begun"), act())
        .await;
    assert_eq!(ended.expect("ended"), None);
    let pending = place.store.pending_galleries(FIRST).await.expect("asked");
    assert_eq!(pending, Vec::<Uuid>::new());
}

/// Whatever dies between: the biometric store hears of the sites again.
#[tokio::test]
async fn an_enrolment_that_is_not_seen_to_end_leaves_the_sites_to_be_told() {
    let place = place().await;
    let (resident, other) = (place.resident().await, place.site().await);
    let pending = async || place.store.pending_galleries(FIRST).await.expect("asked");
    let enrolled = place.enrol(form(&resident, "form 1", now())).await;
    let enrolled = enrolled.expect("begun");
    assert_eq!(pending().await, [resident.id]);
    let household = place.household(other).await;
    let moved = crate::store::Membership {
        household,
        resident: resident.id,
    };
    assert!(place.store.add_member(moved, act()).await.expect("moved"));
    let ended = place.store.end_enrolment(enrolled, act()).await;
    assert_eq!(ended.expect("ended"), None);
    assert_eq!(pending().await, [resident.id]);
}
