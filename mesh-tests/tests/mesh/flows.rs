//! The six flows of the product.

use devmesh::estate::{BARRIER, DOOR, FOB, KEY, PLATE};
use mesh_tests::{Mesh, on_both_databases};
use serde_json::json;

on_both_databases!(
    a_token_by_face_opens_a_door,
    a_face_with_the_call_opens_a_door,
    a_token_by_plate_opens_a_barrier,
    a_plate_with_the_call_opens_a_barrier,
    a_key_and_a_fob_are_heard_of,
);

async fn a_token_by_face_opens_a_door(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.face_token(&mesh.estate.resident.probe()).await;
    let opened = partner.open_door(DOOR, &token).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    assert_eq!(opened.body["decision"], "granted");
    assert_eq!(opened.body["device_id"], DOOR);
    assert_eq!(opened.body["command"]["status"], "delivered");

    let commands = mesh.commands_to(DOOR).await;
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0]["opening_id"], opened.body["opening_id"]);
    assert_eq!(commands[0]["command_id"], opened.body["command"]["id"]);
    let mut names: Vec<&String> = commands[0]["body"]
        .as_object()
        .expect("a body")
        .keys()
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "command_id",
            "device_id",
            "expires_at",
            "issued_at",
            "opening_id"
        ]
    );

    let client = partner.token().await;
    let path = format!("/v1/openings/{}", opened.text("opening_id"));
    let found = partner.get(&path, &client).await;
    assert_eq!(found.body["command"]["status"], "delivered", "{found:?}");
    assert_eq!(mesh.other_partner().get(&path, &client).await.status, 200);
    let stranger = mesh.other_partner().token().await;
    let hidden = partner.get(&path, &stranger).await;
    assert_eq!(hidden.told(), (404, "opening_not_found"));
    let person = partner.face_token(&mesh.estate.resident.probe()).await;
    let hidden = partner.get(&path, &person).await;
    assert_eq!(hidden.told(), (404, "opening_not_found"));
}

async fn a_face_with_the_call_opens_a_door(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    // A client-only token is good for many.
    for _ in 0..2 {
        let opened = partner
            .open_by_face(DOOR, &token, &mesh.estate.resident.probe())
            .await;
        assert_eq!(opened.body["command"]["status"], "delivered", "{opened:?}");
    }
    assert_eq!(mesh.commands_to(DOOR).await.len(), 2);
}

async fn a_token_by_plate_opens_a_barrier(mesh: Mesh) {
    let partner = mesh.partner();
    // Cyrillic, lower case, spaces and dashes.
    for spelling in [PLATE, "а123вс 77", "A-123-BC 77 RUS"] {
        let token = partner.plate_token(spelling).await;
        let opened = partner.open_barrier(BARRIER, &token).await;
        assert_eq!(opened.body["command"]["status"], "delivered", "{opened:?}");
    }
    // The owner of A123BC77 is not the owner of A123BC777.
    let other = partner.ask_token(&[("plate", "A123BC777")]).await;
    assert_eq!(other.told(), (400, "invalid_grant"));
}

async fn a_plate_with_the_call_opens_a_barrier(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let opened = partner.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(opened.body["command"]["status"], "delivered", "{opened:?}");
    let unknown = partner.open_by_plate(BARRIER, &token, "X999XX99").await;
    assert_eq!(unknown.told(), (403, "subject_not_recognized"));
    assert!(!unknown.text("opening_id").is_empty());
}

async fn a_key_and_a_fob_are_heard_of(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    for (path, name, id, device) in [
        ("/v1/webhooks/intercom/key-openings", "key_id", KEY, DOOR),
        ("/v1/webhooks/barrier/fob-openings", "fob_id", FOB, BARRIER),
    ] {
        let mut event = json!({"opened_at": "2026-11-24T06:00:00Z", "device_id": device});
        event[name] = json!(id);
        let told = partner.post(path, &token, Some(&event)).await;
        assert_eq!(told.status, 202, "{told:?}");
        assert_eq!(told.body, json!({"accepted": 1, "duplicates": 0}));
        let again = partner.post(path, &token, Some(&event)).await;
        assert_eq!(again.body, json!({"accepted": 0, "duplicates": 1}));
    }
    let operator = devmesh::operator::Operator::connect(&mesh.layout, "viewer").expect("a viewer");
    let request = propdev_proto::access::ListEventsRequest::default();
    let events = operator
        .events()
        .list_events(request)
        .await
        .expect("the events")
        .into_inner();
    assert_eq!(events.events.len(), 2);
    assert!(events.events.iter().all(|event| event.device_known));
}
