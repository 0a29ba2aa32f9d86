//! Why nobody was recognised: the audit knows which, the partner does not.

use std::collections::BTreeMap;

use devmesh::{
    estate::{BARRIER, DOOR, MODEL, OTHER_DOOR, PLATE},
    operator::Operator,
};
use mesh_tests::{Answer, Mesh, on_both_databases};
use propdev_proto::access::{AuthEventKind, ListAuthEventsRequest, ListOpeningsRequest};
use serde_json::{Value, json};

use crate::eventually;

on_both_databases!(
    an_openings_cause_is_the_audits_alone,
    a_token_refusals_cause_is_the_audits_alone,
);

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// What a partner can compare.
fn told(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    for name in ["request_id", "opening_id"] {
        if body.get(name).is_some() {
            body[name] = Value::Null;
        }
    }
    (answer.status, body)
}

async fn an_openings_cause_is_the_audits_alone(mesh: Mesh) {
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    let (token, others) = (partner.token().await, other.token().await);
    let (door, barrier) = (
        format!("/v1/doors/{DOOR}/open"),
        format!("/v1/barriers/{BARRIER}/open"),
    );
    let face = |vector: &[f32]| json!({"face": {"model": MODEL, "vector": vector}});
    let plate = |number: &str| json!({"plate": {"number": number}});
    let stale = |mut body: Value| {
        body["captured_at"] = LONG_AGO.into();
        body
    };
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    let captured = mesh.estate.resident.probe();
    other.open_by_face(OTHER_DOOR, &others, &captured).await;
    let used = mesh.estate.resident.probe();
    let opened = partner.open_by_face(DOOR, &token, &used).await;
    assert_eq!(opened.status, 200, "{opened:?}");

    let mut wanted = BTreeMap::new();
    let mut answers = Vec::new();
    for (path, body, cause) in [
        (&door, face(&stranger), "unknown"),
        (&door, face(&captured), "replayed"),
        (&door, face(&used), "used"),
        (&door, stale(face(&mesh.estate.resident.probe())), "stale"),
        (&barrier, plate("X999XX99"), "unknown"),
        (&barrier, stale(plate(PLATE)), "stale"),
    ] {
        let answer = partner.post(path, &token, Some(&body)).await;
        assert_eq!(answer.told(), (403, "subject_not_recognized"), "{cause}");
        wanted.insert(answer.text("opening_id"), cause);
        answers.push(told(&answer));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");

    let viewer = Operator::connect(&mesh.layout, "viewer").expect("a viewer");
    let listed = viewer
        .openings()
        .list_openings(ListOpeningsRequest::default())
        .await
        .expect("openings")
        .into_inner();
    for (id, cause) in wanted {
        let opening = listed.openings.iter().find(|o| o.opening_id == id);
        let checks = &opening.expect("the opening").checks;
        let subject = checks.iter().find(|check| check.name == "subject");
        assert_eq!(subject.expect("a check").cause, cause);
        let seen = partner.get(&format!("/v1/openings/{id}"), &token).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        assert!(!seen.body.to_string().contains(cause), "{seen:?}");
    }
}

async fn a_token_refusals_cause_is_the_audits_alone(mesh: Mesh) {
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    let captured = mesh.estate.resident.probe();
    let elsewhere = other.ask_face_token(&captured).await;
    assert_eq!(elsewhere.told(), (400, "invalid_grant"));
    let fresh = partner_sim::face::to_base64url(&mesh.estate.resident.probe());
    let stale = partner
        .ask_token(&[
            ("face_vector", &fresh),
            ("face_model", MODEL),
            ("captured_at", LONG_AGO),
        ])
        .await;
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    for answer in [
        &stale,
        &partner.ask_face_token(&stranger).await,
        &partner.ask_face_token(&captured).await,
        &partner.ask_token(&[("plate", "X999XX99")]).await,
    ] {
        assert_eq!(told(answer), told(&elsewhere));
    }

    let viewer = Operator::connect(&mesh.layout, "viewer").expect("a viewer");
    eventually("each refusal's cause is told", async || {
        let request = ListAuthEventsRequest {
            client_id: mesh.estate.client_id.clone(),
            ..ListAuthEventsRequest::default()
        };
        let listed = viewer.audit().list_auth_events(request).await;
        let mut causes: Vec<(String, String)> = listed
            .expect("events")
            .into_inner()
            .events
            .into_iter()
            .filter(|event| event.kind() == AuthEventKind::TokenRefused)
            .map(|event| (event.means, event.cause))
            .collect();
        causes.sort();
        causes
            == [
                ("face", "replayed"),
                ("face", "stale"),
                ("face", "unknown"),
                ("plate", "unknown"),
            ]
            .map(|(means, cause)| (means.to_owned(), cause.to_owned()))
    })
    .await;
}
