use audit_log::Kind;

use super::*;
use crate::store::{
    entity::audit_entry,
    testing::{Place, now, place},
};

const SERVICE: &str = "biometric-svc";

fn told(code: &str) -> Entry {
    Entry {
        service: Some(SERVICE.to_owned()),
        ..Entry::new(Kind::Act, code, now())
    }
}

/// What the log has queued, by code.
async fn codes(place: &Place) -> Vec<String> {
    let rows = audit_entry::Entity::find().all(&place.db.read).await;
    let rows = rows.expect("asked").into_iter();
    let mut codes: Vec<String> = rows.map(|row| row.code).collect();
    codes.sort();
    codes
}

#[tokio::test]
async fn acts_are_entries_once_however_often_they_are_taken() {
    let place = place().await;
    let store = &place.store;
    let last = async || store.last_act(SERVICE).await.expect("asked");
    assert_eq!(last().await, None);
    let (first, second) = (told("keys_rotated"), told("backup_created"));
    let both = vec![first.clone(), second.clone()];
    let taken = store.take_acts(SERVICE, both.clone(), second.id).await;
    taken.expect("taken");
    assert_eq!(last().await, Some(second.id));
    // A replica that had asked before, and then one that asks anew.
    let taken = store
        .take_acts(SERVICE, vec![first.clone()], first.id)
        .await;
    taken.expect("taken");
    assert_eq!(last().await, Some(first.id));
    let taken = store.take_acts(SERVICE, both, second.id).await;
    taken.expect("taken");
    assert_eq!(last().await, Some(second.id));
    assert_eq!(codes(&place).await, ["backup_created", "keys_rotated"]);
    let queued = store.queued_entries(10).await.expect("queued");
    assert!(queued.forged.is_empty(), "entries are this service's own");
}

#[tokio::test]
async fn acts_that_are_not_told_any_more_are_passed_over() {
    let place = place().await;
    let old = told("keys_rotated").id;
    let taken = place.store.take_acts(SERVICE, Vec::new(), old).await;
    taken.expect("taken");
    let last = place.store.last_act(SERVICE).await;
    assert_eq!(last.expect("asked"), Some(old));
    assert!(codes(&place).await.is_empty());
}
