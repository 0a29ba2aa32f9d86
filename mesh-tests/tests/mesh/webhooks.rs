//! What the partner tells us.

use devmesh::estate::{BARRIER, DOOR, PLATE};
use futures::future::join_all;
use mesh_tests::{Mesh, Partner, on_both_databases};
use serde_json::{Value, json};
use uuid::Uuid;

const KEYS: &str = "/v1/webhooks/intercom/key-openings";
const FOBS: &str = "/v1/webhooks/barrier/fob-openings";
const COMMANDS: &str = "/v1/webhooks/commands";

on_both_databases!(
    a_batch_is_stored_whole_and_once,
    a_bad_event_spoils_its_batch,
    an_event_is_known_by_its_id_or_else_by_what_it_says,
    each_of_a_crowd_is_answered_for_itself,
    a_confirmation_moves_an_opening_once,
    only_event_writers_are_heard,
);

fn events(count: usize) -> Value {
    let events: Vec<Value> = (0..count)
        .map(|i| json!({"key_id": format!("key-{i}"), "opened_at": "2026-11-24T06:00:00Z", "event_id": format!("e{i}")}))
        .collect();
    json!({"events": events})
}

async fn a_batch_is_stored_whole_and_once(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let told = partner.post(KEYS, &token, Some(&events(1_000))).await;
    assert_eq!(
        told.body,
        json!({"accepted": 1000, "duplicates": 0}),
        "{told:?}"
    );
    let again = partner.post(KEYS, &token, Some(&events(1_000))).await;
    assert_eq!(again.body, json!({"accepted": 0, "duplicates": 1000}));
    let more = partner.post(KEYS, &token, Some(&events(1_001))).await;
    assert_eq!(more.told(), (413, "payload_too_large"));
    // The same event of another partner is another event.
    let other = mesh.other_partner();
    let token = other.token().await;
    let told = other.post(KEYS, &token, Some(&events(1))).await;
    assert_eq!(told.body, json!({"accepted": 1, "duplicates": 0}));
}

async fn a_bad_event_spoils_its_batch(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let mut batch = events(3);
    batch["events"][1] = json!({"key_id": "k", "opened_at": "yesterday"});
    let told = partner.post(KEYS, &token, Some(&batch)).await;
    assert_eq!(told.told(), (422, "invalid_event"), "{told:?}");
    assert_eq!(told.body["errors"][0]["index"], 1);
    assert_eq!(told.body["errors"].as_array().map(Vec::len), Some(1));
    let good = partner.post(KEYS, &token, Some(&events(3))).await;
    assert_eq!(good.body, json!({"accepted": 3, "duplicates": 0}));
}

async fn an_event_is_known_by_its_id_or_else_by_what_it_says(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    const AT: &str = "2026-11-24T06:00:00Z";
    let told = |changes: Value| {
        let mut event = json!({"key_id": "key-1", "device_id": DOOR, "opened_at": AT});
        for (name, value) in changes.as_object().expect("members") {
            event[name] = value.clone();
        }
        event
    };
    let fob = json!({"fob_id": "key-1", "device_id": DOOR, "opened_at": AT, "event_id": "e-1"});
    let moment = "2026-11-24T09:00:00+03:00";
    for (what, path, event, new) in [
        ("the first", KEYS, told(json!({})), true),
        ("it again", KEYS, told(json!({})), false),
        (
            "the moment in other words",
            KEYS,
            told(json!({"opened_at": moment})),
            false,
        ),
        ("another key", KEYS, told(json!({"key_id": "key-2"})), true),
        (
            "another device",
            KEYS,
            told(json!({"device_id": "door-x"})),
            true,
        ),
        (
            "another time",
            KEYS,
            told(json!({"opened_at": "2026-11-24T06:00:01Z"})),
            true,
        ),
        (
            "the first with an id",
            KEYS,
            told(json!({"event_id": "e-1"})),
            true,
        ),
        (
            "that id of another key",
            KEYS,
            told(json!({"event_id": "e-1", "key_id": "key-3"})),
            false,
        ),
        ("that id at another endpoint", FOBS, fob, true),
        ("the first once more", KEYS, told(json!({})), false),
    ] {
        let answer = partner.post(path, &token, Some(&event)).await;
        assert_eq!(answer.status, 202, "{what}: {answer:?}");
        let (accepted, duplicates) = (u32::from(new), u32::from(!new));
        let expected = json!({"accepted": accepted, "duplicates": duplicates});
        assert_eq!(answer.body, expected, "{what}");
    }
}

/// Calls of about the same time go inside together.
async fn each_of_a_crowd_is_answered_for_itself(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let event =
        |id: &str| json!({"key_id": "k", "opened_at": "2026-11-24T06:00:00Z", "event_id": id});
    let told = |token: &str, body: Value| {
        let (partner, token) = (&partner, token.to_owned());
        async move { partner.post(KEYS, &token, Some(&body)).await }
    };
    let bad = json!({"events": [event("never"), {"key_id": "k", "opened_at": "yesterday"}]});
    let own = (0..10).map(|i| told(&token, event(&format!("own-{i}"))));
    let same = (0..10).map(|_| told(&token, event("same")));
    let strangers = (0..5).map(|_| told("no-token", event("never")));
    let spoilt = (0..5).map(|_| told(&token, bad.clone()));
    let (own, same, strangers, spoilt) = tokio::join!(
        join_all(own),
        join_all(same),
        join_all(strangers),
        join_all(spoilt)
    );
    for answer in own {
        assert_eq!(answer.body, json!({"accepted": 1, "duplicates": 0}));
    }
    assert!(same.iter().all(|answer| answer.status == 202), "{same:?}");
    let first = json!({"accepted": 1, "duplicates": 0});
    let firsts = same.iter().filter(|answer| answer.body == first);
    assert_eq!(firsts.count(), 1, "{same:?}");
    for answer in strangers {
        assert_eq!(answer.told(), (401, "invalid_token"));
    }
    for answer in spoilt {
        assert_eq!(answer.told(), (422, "invalid_event"));
        assert_eq!(answer.body["errors"][0]["index"], 1);
    }
    let answer = told(&token, event("never")).await;
    assert_eq!(answer.body, first, "what was refused was not stored");
}

async fn a_confirmation_moves_an_opening_once(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let opened = partner.open_by_plate(BARRIER, &token, PLATE).await;
    let (opening, command) = (
        opened.text("opening_id"),
        opened.body["command"]["id"].clone(),
    );
    let confirm = |status: &str| json!({"command_id": command, "opening_id": opening, "status": status, "at": "2026-11-24T06:00:01Z"});
    let status = async || {
        let path = format!("/v1/openings/{opening}");
        partner.get(&path, &token).await.body["command"]["status"].clone()
    };
    let told = partner
        .post(COMMANDS, &token, Some(&confirm("opened")))
        .await;
    let new = json!({"accepted": 1, "duplicates": 0});
    assert_eq!((told.status, &told.body), (202, &new));
    assert_eq!(status().await, "opened");
    let again = partner
        .post(COMMANDS, &token, Some(&confirm("opened")))
        .await;
    let repeated = json!({"accepted": 0, "duplicates": 1});
    assert_eq!((again.status, &again.body), (202, &repeated));
    let late = partner
        .post(COMMANDS, &token, Some(&confirm("failed")))
        .await;
    assert_eq!(late.status, 202);
    assert_eq!(status().await, "opened");
    a_failure_is_as_final(&partner, &token).await;
    let foreign = mesh.other_partner();
    let token = foreign.token().await;
    let refused = foreign
        .post(COMMANDS, &token, Some(&confirm("opened")))
        .await;
    assert_eq!(refused.told(), (404, "command_not_found"));
    let mut absent = confirm("opened");
    absent["command_id"] = json!(Uuid::now_v7().to_string());
    let refused = foreign.post(COMMANDS, &token, Some(&absent)).await;
    assert_eq!(refused.told(), (404, "command_not_found"));
}

async fn a_failure_is_as_final(partner: &Partner, token: &str) {
    let opened = partner.open_by_plate(BARRIER, token, PLATE).await;
    let path = format!("/v1/openings/{}", opened.text("opening_id"));
    for said in ["failed", "opened"] {
        let confirmation = json!({
            "command_id": opened.body["command"]["id"],
            "opening_id": opened.body["opening_id"],
            "status": said,
            "at": "2026-11-24T06:00:01Z",
        });
        let told = partner.post(COMMANDS, token, Some(&confirmation)).await;
        assert_eq!(told.status, 202, "{told:?}");
        let opening = partner.get(&path, token).await;
        assert_eq!(opening.body["command"]["status"], "failed", "{said}");
    }
}

async fn only_event_writers_are_heard(mesh: Mesh) {
    let partner = mesh.partner();
    let narrow = partner
        .ask_token(&[("scope", "door:open")])
        .await
        .text("access_token");
    let refused = partner.post(KEYS, &narrow, Some(&events(1))).await;
    assert_eq!(refused.told(), (403, "insufficient_scope"));
    let person = partner.face_token(&mesh.estate.resident.probe()).await;
    let refused = partner.post(KEYS, &person, Some(&events(1))).await;
    assert_eq!(refused.told(), (403, "insufficient_scope"));
    // Asked too much of nobody: the token still opens its door.
    assert_eq!(partner.open_door(DOOR, &person).await.status, 200);
}
