//! When in doubt, closed, and said so.

use devmesh::estate::{BARRIER, DOOR, PLATE};
use mesh_tests::{Mesh, on_both_databases};
use serde_json::json;

on_both_databases!(
    a_partner_that_misbehaves_is_told_apart,
    services_that_are_away_open_nothing_and_come_back,
);

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
