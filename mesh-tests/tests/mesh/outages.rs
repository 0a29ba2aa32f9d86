//! When in doubt, closed, and said so.

use std::time::Duration;

use devmesh::estate::{BARRIER, DOOR, KEY, PLATE};
use mesh_tests::{Mesh, Partner, on_both_databases};
use reqwest::Method;
use sea_orm::{ConnectionTrait, Database};
use serde_json::json;

use crate::{database_url, eventually, within};

on_both_databases!(
    a_partner_that_misbehaves_is_told_apart,
    services_that_are_away_open_nothing_and_come_back,
    what_auth_svc_said_is_not_believed_for_long,
    a_database_that_is_away_opens_nothing_and_comes_back,
    a_clock_that_steps_opens_nothing_and_loses_nothing,
);

/// Within which everything works again once what was away is back.
const BACK_WITHIN: Duration = Duration::from_secs(5);
const KEYS: &str = "/v1/webhooks/intercom/key-openings";

async fn a_partner_that_misbehaves_is_told_apart(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    for (mode, expected, status) in [
        ("refuse", (502, "partner_rejected"), "rejected"),
        ("down", (503, "unavailable"), "expired"),
        ("hang", (504, "partner_timeout"), "unknown"),
    ] {
        mesh.sim.behave(&json!({"mode": mode})).await.expect("told");
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(answer.told(), expected, "{answer:?}");
        let path = format!("/v1/openings/{}", answer.text("opening_id"));
        let opening = partner.get(&path, &token).await;
        assert_eq!(opening.body["command"]["status"], status);
    }
    mesh.sim
        .behave(&json!({"mode": "unauthorized_once"}))
        .await
        .expect("told");
    let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(answer.status, 200, "a new token is tried once: {answer:?}");
    let commands = mesh.sim.commands().await.expect("commands");
    assert!(
        commands
            .iter()
            .all(|c| c["late"] == false && c["duplicate"] == false)
    );
}

async fn services_that_are_away_open_nothing_and_come_back(mut mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let client = mesh.partner();

    mesh.stop("biometric-svc").await;
    let answer = client.ask_face_token(&mesh.estate.resident.probe()).await;
    assert_eq!(answer.told(), (503, "temporarily_unavailable"));
    let answer = client
        .open_by_face(DOOR, &token, &mesh.estate.resident.probe())
        .await;
    assert_eq!(answer.told(), (503, "unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    // Plates need no faces.
    assert_eq!(
        client.open_by_plate(BARRIER, &token, PLATE).await.status,
        200
    );
    mesh.restart("biometric-svc").await;
    let answer = client
        .open_by_face(DOOR, &token, &mesh.estate.resident.probe())
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");

    mesh.stop("access-svc").await;
    let answer = client.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(answer.told(), (503, "unavailable"));
    mesh.restart("access-svc").await;
    let answer = client.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn what_auth_svc_said_is_not_believed_for_long(mut mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    mesh.stop("auth-svc").await;
    let answer = partner.ask_token(&[]).await;
    assert_eq!(answer.told(), (503, "temporarily_unavailable"));
    eventually("its word is too old", async || {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        let closed = answer.told() == (503, "unavailable");
        assert!(closed || answer.status == 200, "{answer:?}");
        assert!(!closed || answer.headers.contains_key("retry-after"));
        closed
    })
    .await;
    let before = mesh.commands_to(BARRIER).await.len();
    let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(answer.told(), (503, "unavailable"));
    assert_eq!(mesh.commands_to(BARRIER).await.len(), before);
    mesh.restart("auth-svc").await;
    within(BACK_WITHIN, "it opens again", async || {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        answer.status == 200 && partner.ask_token(&[]).await.status == 200
    })
    .await;
}

/// Nobody gets into access-svc's database on PostgreSQL; on SQLite, which
/// cannot be shut, tables are missing.
async fn shut_database(mesh: &Mesh, shut: bool) {
    let url = database_url(&mesh.layout, "access-svc");
    let (server, name) = url.rsplit_once('/').expect("a name");
    let (of, statements) = if url.starts_with("sqlite:") {
        let renamed = |table: &str| {
            let away = format!("{table}_away");
            let (from, to) = if shut {
                (table, &*away)
            } else {
                (&*away, table)
            };
            format!("ALTER TABLE {from} RENAME TO {to}")
        };
        (url.clone(), ["openings", "events"].map(renamed).to_vec())
    } else {
        let mut all = vec![format!(
            "ALTER DATABASE \"{name}\" WITH ALLOW_CONNECTIONS {}",
            !shut
        )];
        if shut {
            all.push(format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            ));
        }
        (format!("{server}/postgres"), all)
    };
    let db = Database::connect(of).await.expect("the server");
    for statement in statements {
        db.execute_unprepared(&statement).await.expect("done");
    }
    db.close().await.expect("closed");
}

async fn a_database_that_is_away_opens_nothing_and_comes_back(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    shut_database(&mesh, true).await;
    let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(answer.told(), (503, "unavailable"), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.text("opening_id"), "", "nothing was decided");
    let event = json!({"key_id": KEY, "opened_at": "2026-11-24T06:00:00Z"});
    let told = partner.post(KEYS, &token, Some(&event)).await;
    assert_eq!(told.told(), (503, "unavailable"), "{told:?}");
    assert!(mesh.commands_to(BARRIER).await.is_empty());

    shut_database(&mesh, false).await;
    within(BACK_WITHIN, "it opens again", async || {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        answer.status == 200
    })
    .await;
    let told = partner.post(KEYS, &token, Some(&event)).await;
    assert_eq!(told.body, json!({"accepted": 1, "duplicates": 0}));
}

/// Longer than any token lives.
const STEP_S: i64 = 3_600;

async fn a_clock_that_steps_opens_nothing_and_loses_nothing(mesh: Mesh) {
    let partner = mesh.partner();
    let path = format!("/v1/barriers/{BARRIER}/open");
    let press = async |token: &str| {
        let request = partner.request(Method::POST, &path).bearer_auth(token);
        let body = json!({"plate": {"number": PLATE}});
        Partner::send(request.header("Idempotency-Key", "before").json(&body)).await
    };
    let mut token = partner.token().await;
    let first = press(&token).await;
    assert_eq!(first.status, 200, "{first:?}");
    let mut opened = 1;
    for step in [STEP_S, -STEP_S] {
        mesh.clock.advance(step);
        // Of a time that is over, or has yet to come.
        let old = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(old.told(), (401, "invalid_token"), "{step}");
        eventually("a new token opens", async || {
            token = partner.ask_token(&[]).await.text("access_token");
            let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
            opened += usize::from(answer.status == 200);
            answer.status == 200
        })
        .await;
        let again = press(&token).await;
        assert_eq!(again.body, first.body, "{step}");
        let opening = format!("/v1/openings/{}", first.text("opening_id"));
        let told = partner.get(&opening, &token).await;
        assert_eq!(told.body["command"]["status"], "delivered", "{step}");
    }
    let commands = mesh.commands_to(BARRIER).await;
    assert_eq!(commands.len(), opened);
    let good = |c: &serde_json::Value| c["late"] == false && c["duplicate"] == false;
    assert!(commands.iter().all(good), "{commands:?}");
}
