//! Keys, backups and restores of a whole mesh.

use devmesh::{
    estate::{BARRIER, DOOR, KEY, PLATE},
    layout::STORING,
    operator::Operator,
};
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::{
    access::ListEventsRequest,
    mesh::{CreateBackupRequest, GetKeyStatusRequest, RestoreBackupRequest, RotateKeysRequest},
};
use serde_json::json;

use crate::eventually;

on_both_databases!(
    doors_open_while_keys_rotate_and_after,
    auth_svc_comes_back_from_its_backup,
);

async fn doors_open_while_keys_rotate_and_after(mesh: Mesh) {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let partner = mesh.partner();
    let token = partner.token().await;
    let rotating = tokio::spawn({
        let operator = operator.clone();
        async move {
            for service in STORING {
                let rotated = operator
                    .custody(service)
                    .rotate_keys(RotateKeysRequest { after_epoch: 1 })
                    .await
                    .expect("rotated")
                    .into_inner();
                assert!(rotated.old_epochs_destroyed, "{service}");
                assert!(rotated.rewrapped > 0, "{service}");
                assert!(!rotated.backup_id.is_empty(), "{service}");
            }
        }
    });
    let open = async || {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    while !rotating.is_finished() {
        open().await;
    }
    rotating.await.expect("rotated");
    open().await;

    for service in STORING {
        let status = operator
            .custody(service)
            .get_key_status(GetKeyStatusRequest {})
            .await
            .expect("a status")
            .into_inner();
        let epochs: Vec<i64> = status.epochs.iter().map(|epoch| epoch.id).collect();
        assert_eq!(epochs, [2], "{service}");
        assert_eq!(status.region, devmesh::layout::REGION);
    }
    let face = partner.face_token(&mesh.estate.resident.probe()).await;
    assert_eq!(partner.open_door(DOOR, &face).await.status, 200);
    let event = json!({"key_id": KEY, "opened_at": "2100-01-01T00:00:00Z"});
    let path = "/v1/webhooks/intercom/key-openings";
    let told = partner.post(path, &token, Some(&event)).await;
    assert_eq!(told.status, 202, "{told:?}");
    let mut all = operator.events();
    let events = all.list_events(ListEventsRequest::default()).await;
    let events = events.expect("events").into_inner().events;
    assert!(events[0].holder_known, "{events:?}");
    // Again: a client that has proved itself anew, and the keys of today.
    assert_eq!(partner.ask_token(&[]).await.status, 200);
}

async fn auth_svc_comes_back_from_its_backup(mut mesh: Mesh) {
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let mut custody = privacy.custody("auth-svc");
    let backup = custody.create_backup(CreateBackupRequest {}).await;
    let backup = backup.expect("taken").into_inner().backup;
    let partner = mesh.partner();
    let token = partner.token().await;

    mesh.stop("auth-svc").await;
    mesh.empty_store("auth-svc");
    mesh.restart("auth-svc").await;
    let unknown = partner.ask_token(&[]).await;
    assert_eq!(unknown.told(), (401, "invalid_client"));
    let path = backup.expect("a backup").path;
    let restored = custody.restore_backup(RestoreBackupRequest { path }).await;
    restored.expect("restored");
    mesh.stop("auth-svc").await;
    mesh.restart("auth-svc").await;

    // The secret, and the key that has signed.
    assert_eq!(partner.ask_token(&[]).await.status, 200);
    eventually("its tokens open again", async || {
        partner.open_by_plate(BARRIER, &token, PLATE).await.status == 200
    })
    .await;
}
