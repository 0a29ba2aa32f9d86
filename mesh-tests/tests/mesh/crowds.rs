//! Openings and events that come at the same time, and are stored together.

use std::collections::HashSet;

use devmesh::estate::{BARRIER, DOOR, PLATE};
use futures::future::join_all;
use mesh_tests::{Mesh, Partner, on_both_databases};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{audit_log::entries, eventually};

on_both_databases!(
    a_hundred_with_one_token_open_once,
    fifty_with_one_idempotency_key_hear_of_one_opening,
    each_of_a_crowd_has_an_opening_of_its_own,
    each_opening_of_a_crowd_names_its_own_request,
    each_event_of_a_crowd_names_its_own_request,
);

async fn a_hundred_with_one_token_open_once(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.face_token(&mesh.estate.resident.probe()).await;
    let answers = join_all((0..100).map(|_| partner.open_door(DOOR, &token))).await;
    let (opened, used): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
    assert_eq!(opened.len(), 1);
    for answer in used {
        assert_eq!(answer.told(), (401, "token_already_used"), "{answer:?}");
    }
    assert_eq!(mesh.commands_to(DOOR).await.len(), 1);
}

async fn fifty_with_one_idempotency_key_hear_of_one_opening(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let path = format!("/v1/barriers/{BARRIER}/open");
    let presses = (0..50).map(|_| {
        let request = partner
            .request(Method::POST, &path)
            .bearer_auth(&token)
            .header("Idempotency-Key", "one-press")
            .json(&json!({"plate": {"number": PLATE}}));
        Partner::send(request)
    });
    let answers = join_all(presses).await;
    let opening = answers[0].text("opening_id");
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text("opening_id"), opening);
    }
    assert_eq!(mesh.commands_to(BARRIER).await.len(), 1);
}

async fn each_of_a_crowd_has_an_opening_of_its_own(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let granted = (0..30).map(|_| partner.open_by_plate(BARRIER, &token, PLATE));
    let denied = (0..10).map(|_| partner.open_by_plate(BARRIER, &token, "X999XX99"));
    let (granted, denied) = tokio::join!(join_all(granted), join_all(denied));
    let mut ids = HashSet::new();
    for answer in &granted {
        assert_eq!(answer.status, 200, "{answer:?}");
        ids.insert(answer.text("opening_id"));
    }
    for answer in &denied {
        assert_eq!(answer.told(), (403, "subject_not_recognized"), "{answer:?}");
        ids.insert(answer.text("opening_id"));
    }
    assert_eq!(ids.len(), 40);
    assert_eq!(mesh.commands_to(BARRIER).await.len(), 30);
}

async fn each_opening_of_a_crowd_names_its_own_request(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let path = format!("/v1/barriers/{BARRIER}/open");
    let ids: HashSet<String> = (0..30).map(|i| format!("opening-{i}")).collect();
    let presses = ids.iter().map(|id| {
        let request = partner
            .request(Method::POST, &path)
            .bearer_auth(&token)
            .header("X-Request-Id", id)
            .json(&json!({"plate": {"number": PLATE}}));
        Partner::send(request)
    });
    let mut opened = HashSet::new();
    for (id, answer) in ids.iter().zip(join_all(presses).await) {
        assert_eq!(answer.status, 200, "{answer:?}");
        opened.insert((id.clone(), answer.text("opening_id")));
    }
    for code in ["granted", "delivered"] {
        eventually("each is in the log under its own id", async || {
            let told = entries(&mesh, |request| request.code = code.into()).await;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let told: HashSet<(String, String)> = told
                .iter()
                .map(|entry| (text(&entry["request"]), text(&entry["opening"])))
                .collect();
            opened.is_subset(&told)
        })
        .await;
    }
}

async fn each_event_of_a_crowd_names_its_own_request(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let ids: HashSet<String> = (0..30).map(|i| format!("crowd-{i}")).collect();
    let calls = ids.iter().map(|id| {
        let event = json!({"key_id": "k", "opened_at": "2026-11-24T06:00:00Z", "event_id": id});
        let request = partner
            .request(Method::POST, "/v1/webhooks/intercom/key-openings")
            .bearer_auth(&token)
            .header("X-Request-Id", id)
            .json(&event);
        Partner::send(request)
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    eventually("each is in the log under its own id", async || {
        let told = entries(&mesh, |request| request.code = "key_opened".into()).await;
        let requests = told.iter().filter_map(|entry| entry["request"].as_str());
        let requests: HashSet<String> = requests.map(str::to_owned).collect();
        ids.is_subset(&requests)
    })
    .await;
}
