use zeroize::Zeroizing;

use super::*;
use crate::store::testing::{Place, now, place};

/// A call that tells events of these ids, of keys that nobody is known to hold.
async fn call(place: &Place, partner: Uuid, ids: &[&str]) -> Vec<NewEvent> {
    let month = place.store.month_key(now()).await.expect("a key");
    let new_event = |id: &&str| {
        let event = Event {
            id: Uuid::now_v7(),
            kind: CredentialKind::Key,
            partner,
            device_id: None,
            device_known: false,
            holder: None,
            opened_at: now(),
            received_at: now(),
        };
        let told = CredentialOpening {
            credential_id: Zeroizing::new("key-1".into()),
            opened_at: event.opened_at,
            device_id: None,
            event_id: Some((*id).to_owned()),
        };
        let sealer = Sealer::Month(&month);
        place.store.new_event(event, &told, None, sealer)
    };
    let events: Result<_, Error> = ids.iter().map(new_event).collect();
    events.expect("events")
}

async fn rows(place: &Place) -> (usize, usize) {
    let events = entity::event::Entity::find().all(&place.db.read);
    let entries = entity::audit_entry::Entity::find().all(&place.db.read);
    let events = events.await.expect("events").len();
    (events, entries.await.expect("entries").len())
}

#[tokio::test]
async fn of_an_event_told_by_several_calls_the_first_counts() {
    let place = place().await;
    let partners = [place.partner().await, place.partner().await];
    let (_, entries) = rows(&place).await;
    let calls = vec![
        call(&place, partners[0], &["a", "b", "a"]).await,
        call(&place, partners[0], &["b", "c"]).await,
        vec![],
        call(&place, partners[1], &["a"]).await,
    ];
    let first: HashSet<Uuid> = calls[0][..2].iter().map(|event| event.row.id).collect();
    let new = place.store.insert_events(calls).await.expect("stored");
    assert_eq!(new, [2, 1, 0, 1]);
    let stored = entity::event::Entity::find().all(&place.db.read).await;
    let stored: HashSet<Uuid> = stored.expect("events").iter().map(|row| row.id).collect();
    assert!(first.is_subset(&stored), "the first of each");
    // What was told before counts nowhere.
    let calls = vec![
        call(&place, partners[0], &["c"]).await,
        call(&place, partners[0], &["d", "a"]).await,
    ];
    let new = place.store.insert_events(calls).await.expect("stored");
    assert_eq!(new, [0, 1]);
    assert_eq!(rows(&place).await, (5, entries + 5), "each told once");
}

#[tokio::test]
async fn more_events_than_a_statement_takes_are_stored() {
    let place = place().await;
    let partner = place.partner().await;
    let ids: Vec<String> = (0..3_000).map(|i| i.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let calls = vec![call(&place, partner, &ids).await];
    let new = place.store.insert_events(calls).await.expect("stored");
    assert_eq!(new, [3_000]);
    assert_eq!(rows(&place).await.0, 3_000);
}
