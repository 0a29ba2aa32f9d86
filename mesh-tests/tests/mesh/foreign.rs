//! A client and what is not its own: it can neither open it, nor see it, nor
//! learn that it exists.

use std::collections::BTreeMap;

use devmesh::{
    estate::{BARRIER, DOOR, KEY, MODEL, OTHER_DOOR, PLATE},
    operator::Operator,
};
use mesh_tests::{Answer, Mesh, Partner, on_both_databases};
use propdev_proto::access::{CreateDeviceRequest, Device, DeviceKind, ListEventsRequest};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

on_both_databases!(
    a_foreign_device_is_opened_like_an_absent_one,
    a_token_names_a_foreign_device_like_an_absent_one,
    a_foreign_opening_is_seen_like_an_absent_one,
    foreign_commands_and_keys_are_told_like_absent_ones,
);

const KEYS: &str = "/v1/webhooks/intercom/key-openings";
const COMMANDS: &str = "/v1/webhooks/commands";

/// What the first client must not learn of: another partner's, its own
/// partner's at a site it has no right to, of the other kind, none at all.
const HIDDEN_DOORS: [&str; 4] = [OTHER_DOOR, "elsewhere-door", BARRIER, "absent"];
const HIDDEN_BARRIERS: [&str; 4] = ["foreign-barrier", "elsewhere-barrier", DOOR, "absent"];

async fn add_hidden_devices(mesh: &Mesh) {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let estate = &mesh.estate;
    for (id, partner, kind) in [
        ("elsewhere-door", &estate.partner_id, DeviceKind::Door),
        ("elsewhere-barrier", &estate.partner_id, DeviceKind::Barrier),
        (
            "foreign-barrier",
            &estate.other_partner_id,
            DeviceKind::Barrier,
        ),
    ] {
        let request = CreateDeviceRequest {
            device: Some(Device {
                device_id: id.into(),
                partner_id: partner.clone(),
                site_id: estate.other_site_id.clone(),
                kind: kind.into(),
                name: id.into(),
                time_zone: "Europe/Moscow".into(),
                ..Device::default()
            }),
        };
        let made = operator.devices().create_device(request).await;
        made.expect("a device");
    }
}

/// All that a caller can compare, but for the request's own id and the time.
fn seen(answer: &Answer) -> (u16, BTreeMap<String, String>, Value) {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    let mut body = answer.body.clone();
    if body.get("request_id").is_some() {
        body["request_id"] = Value::Null;
    }
    (answer.status, headers, body)
}

fn are_alike(answers: &[(String, Answer)], told: (u16, &str)) {
    let (_, first) = answers.first().expect("answers");
    for (what, answer) in answers {
        assert_eq!(answer.told(), told, "{what}");
        assert_eq!(seen(answer), seen(first), "{what}");
    }
}

async fn a_foreign_device_is_opened_like_an_absent_one(mesh: Mesh) {
    add_hidden_devices(&mesh).await;
    let partner = mesh.partner();
    let client = partner.token().await;
    let by_face = partner.face_token(&mesh.estate.resident.probe()).await;
    let by_plate = partner.plate_token(PLATE).await;
    let face = json!({"face": {"model": MODEL, "vector": mesh.estate.resident.probe()}});
    let plate = json!({"plate": {"number": PLATE}});
    for (noun, subject, evidence, hidden) in [
        ("doors", &by_face, face, HIDDEN_DOORS),
        ("barriers", &by_plate, plate, HIDDEN_BARRIERS),
    ] {
        let evidence = evidence.to_string();
        let mut answers = Vec::new();
        // An id that no device can have is one that no device has.
        for device in hidden.iter().chain(&["a%20b"]) {
            for (token, body) in [
                (subject, ""),
                (subject, "{}"),
                (subject, evidence.as_str()),
                (&client, ""),
                (&client, evidence.as_str()),
                (&client, "{"),
            ] {
                let request = partner
                    .request(Method::POST, &format!("/v1/{noun}/{device}/open"))
                    .bearer_auth(token)
                    .header("Content-Type", "application/json")
                    .header("Idempotency-Key", "one")
                    .body(body.to_owned());
                let shown = &body[..body.len().min(20)];
                answers.push((format!("{device} {shown}"), Partner::send(request).await));
            }
        }
        are_alike(&answers, (404, "device_not_found"));
    }
    assert!(mesh.sim.commands().await.expect("commands").is_empty());
    assert_eq!(partner.open_door(DOOR, &by_face).await.status, 200);
    assert_eq!(partner.open_barrier(BARRIER, &by_plate).await.status, 200);
}

async fn a_token_names_a_foreign_device_like_an_absent_one(mesh: Mesh) {
    add_hidden_devices(&mesh).await;
    let partner = mesh.partner();
    let vector = partner_sim::face::to_base64url(&mesh.estate.resident.probe());
    let face = [("face_model", MODEL), ("face_vector", vector.as_str())];
    let plate = [("plate", PLATE)];
    let mut answers = Vec::new();
    for (evidence, hidden) in [
        (&face[..], &HIDDEN_DOORS[..]),
        (&plate[..], &HIDDEN_BARRIERS[..]),
        // The client alone may name a device of either kind.
        (&[][..], &["absent", OTHER_DOOR, "foreign-barrier"][..]),
        (&[][..], &["elsewhere-door", "elsewhere-barrier"][..]),
    ] {
        for device in hidden {
            let mut parameters = evidence.to_vec();
            parameters.push(("device_id", *device));
            answers.push((
                format!("{device} with {} parameters", parameters.len()),
                partner.ask_token(&parameters).await,
            ));
        }
    }
    are_alike(&answers, (400, "invalid_request"));
}

async fn a_foreign_opening_is_seen_like_an_absent_one(mesh: Mesh) {
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    let (token, others) = (partner.token().await, other.token().await);
    let opened = partner
        .open_by_face(DOOR, &token, &mesh.estate.resident.probe())
        .await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let id = opened.text("opening_id");
    let narrow = partner.ask_token(&[("scope", "barrier:open")]).await;
    let narrow = narrow.text("access_token");
    let person = partner.face_token(&mesh.estate.resident.probe()).await;
    let absent = Uuid::now_v7().to_string();
    let (id, absent) = (id.as_str(), absent.as_str());
    let mut answers = Vec::new();
    for (who, token, id) in [
        ("another partner", &others, id),
        ("no scope for doors", &narrow, id),
        ("a subject token", &person, id),
        ("absent", &token, absent),
        ("absent, to another partner", &others, absent),
        ("no UUID", &token, "x"),
    ] {
        let path = format!("/v1/openings/{id}");
        answers.push((who.to_owned(), partner.get(&path, token).await));
    }
    are_alike(&answers, (404, "opening_not_found"));
}

async fn foreign_commands_and_keys_are_told_like_absent_ones(mesh: Mesh) {
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    let (token, others) = (partner.token().await, other.token().await);
    let opened = partner.open_by_plate(BARRIER, &token, PLATE).await;
    let opening = opened.text("opening_id");
    let command = opened.body["command"]["id"].as_str().expect("a command");
    let absent = Uuid::now_v7().to_string();
    let (opening, absent) = (opening.as_str(), absent.as_str());
    let mut answers = Vec::new();
    for (what, token, command, opening) in [
        ("foreign", &others, command, opening),
        ("absent", &others, absent, absent),
        ("absent, of a foreign opening", &others, absent, opening),
        ("absent, to its partner", &token, absent, opening),
        ("of another opening", &token, command, absent),
    ] {
        let event = json!({
            "command_id": command, "opening_id": opening,
            "status": "failed", "at": "2026-11-24T06:00:00Z",
        });
        let answer = partner.post(COMMANDS, token, Some(&event)).await;
        answers.push((what.to_owned(), answer));
        let batch = json!({"events": [event]});
        let answer = partner.post(COMMANDS, token, Some(&batch)).await;
        answers.push((format!("{what}, in a batch"), answer));
    }
    are_alike(&answers, (404, "command_not_found"));
    let path = format!("/v1/openings/{opening}");
    let now = partner.get(&path, &token).await;
    assert_eq!(now.body["command"]["status"], "delivered");

    let mut answers = Vec::new();
    for (key, device) in [(KEY, DOOR), (KEY, "absent"), ("absent", DOOR)] {
        let event = json!({
            "key_id": key, "device_id": device, "opened_at": "2026-11-24T06:00:00Z",
        });
        let answer = partner.post(KEYS, &others, Some(&event)).await;
        answers.push((format!("{key} at {device}"), answer));
    }
    are_alike(&answers, (202, ""));
    let viewer = Operator::connect(&mesh.layout, "viewer").expect("a viewer");
    let listed = viewer
        .events()
        .list_events(ListEventsRequest::default())
        .await
        .expect("events")
        .into_inner();
    assert_eq!(listed.events.len(), 3);
    for event in listed.events {
        assert_eq!(event.partner_id, mesh.estate.other_partner_id);
        assert!(!event.device_known && !event.holder_known, "{event:?}");
    }
}
