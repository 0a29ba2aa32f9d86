//! Keys, backups and restores of a whole mesh.

use devmesh::{
    estate::{BARRIER, DOOR, KEY, PLATE},
    layout::STORING,
    operator::Operator,
};
use mesh_tests::{Database, Mesh, on_both_databases};
use propdev_proto::{
    access::ListEventsRequest,
    mesh::{
        Backup, CreateBackupRequest, GetKeyStatusRequest, GetKeyStatusResponse, ListBackupsRequest,
        RestoreBackupRequest, RotateKeysRequest,
    },
};
use serde_json::{Value, json};
use tonic::{Code, Response, Status};

use crate::{audit_log::entries, eventually};

on_both_databases!(
    doors_open_while_keys_rotate_and_after,
    what_is_done_to_keys_and_backups_is_in_the_audit_log,
    acts_of_biometric_svc_are_told_once_whoever_starts_over,
    auth_svc_comes_back_from_its_backup,
    a_week_later_keys_have_rotated_by_themselves,
);

const BIOMETRIC: &str = "biometric-svc";

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

async fn what_is_done_to_keys_and_backups_is_in_the_audit_log(mesh: Mesh) {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let mut taken = Vec::new();
    for service in STORING {
        let mut custody = operator.custody(service);
        let rotate = RotateKeysRequest { after_epoch: 1 };
        custody.rotate_keys(rotate).await.expect("rotated");
        let backup = once_free(async || custody.create_backup(CreateBackupRequest {}).await);
        let backup = backup.await.backup.expect("a backup");
        taken.push((service.to_owned(), backup.id));
        // A second time there is nothing to do, and nothing to tell.
        once_free(async || custody.rotate_keys(rotate).await).await;
    }
    let told = async |code: &str| {
        let found = entries(&mesh, |request| request.code = code.into()).await;
        for entry in &found {
            assert_eq!(entry["kind"], "act", "{entry}");
            assert_eq!(entry["actor"], "operator/operator/dev", "{entry}");
            assert!(entry["request"].is_string(), "{entry}");
        }
        by_service(&found)
    };
    taken.sort();
    let mut rotated = STORING.map(|service| (service.to_owned(), "2".to_owned()));
    rotated.sort();
    eventually("all services' acts are told", async || {
        told("backup_created").await == taken && told("keys_rotated").await == rotated
    })
    .await;
}

/// Whose store it was and what of it, in their order.
fn by_service(entries: &[Value]) -> Vec<(String, String)> {
    let text = |entry: &Value, name: &str| entry[name].as_str().expect("a text").to_owned();
    let mut all: Vec<_> = entries
        .iter()
        .map(|entry| (text(entry, "service"), text(entry, "subject")))
        .collect();
    all.sort();
    all
}

async fn backup_of_biometric_svc(mesh: &Mesh) -> Backup {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let mut custody = operator.custody(BIOMETRIC);
    let taken = custody.create_backup(CreateBackupRequest {}).await;
    taken.expect("taken").into_inner().backup.expect("a backup")
}

/// Until these backups of biometric-svc, and no others, are told of, once each.
async fn until_told(mesh: &Mesh, code: &str, backups: &[&Backup]) {
    let mut wanted: Vec<(String, String)> = backups
        .iter()
        .map(|backup| (BIOMETRIC.to_owned(), backup.id.clone()))
        .collect();
    wanted.sort();
    eventually(code, async || {
        let found = entries(mesh, |request| request.code = code.into()).await;
        by_service(&found) == wanted
    })
    .await;
}

async fn acts_of_biometric_svc_are_told_once_whoever_starts_over(mut mesh: Mesh) {
    let first = backup_of_biometric_svc(&mesh).await;
    // Holds the act of the first one, not its own.
    let second = backup_of_biometric_svc(&mesh).await;
    until_told(&mesh, "backup_created", &[&first, &second]).await;

    mesh.stop("access-svc").await;
    let third = backup_of_biometric_svc(&mesh).await;
    mesh.restart("access-svc").await;
    until_told(&mesh, "backup_created", &[&first, &second, &third]).await;

    mesh.stop(BIOMETRIC).await;
    mesh.empty_store(BIOMETRIC);
    mesh.restart(BIOMETRIC).await;
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let path = second.path.clone();
    let restoring = RestoreBackupRequest { path };
    let restored = privacy.custody(BIOMETRIC).restore_backup(restoring).await;
    restored.expect("restored");
    mesh.stop(BIOMETRIC).await;
    mesh.restart(BIOMETRIC).await;
    until_told(&mesh, "backup_restored", &[&second]).await;
    let last = backup_of_biometric_svc(&mesh).await;
    until_told(&mesh, "backup_created", &[&first, &second, &third, &last]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_tell_each_act_of_biometric_svc_once() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    mesh.replicate_services(&["access-svc"]).await;
    let first = backup_of_biometric_svc(&mesh).await;
    let second = backup_of_biometric_svc(&mesh).await;
    until_told(&mesh, "backup_created", &[&first, &second]).await;
    mesh.stop("access-svc").await;
    mesh.restart("access-svc").await;
    mesh.replicate_services(&["access-svc"]).await;
    let third = backup_of_biometric_svc(&mesh).await;
    until_told(&mesh, "backup_created", &[&first, &second, &third]).await;
}

/// The answer, once the service has looked for itself whether anything is left
/// of a rotation.
async fn once_free<T>(mut ask: impl AsyncFnMut() -> Result<Response<T>, Status>) -> T {
    let mut answer = None;
    eventually("nobody else is at the keys", async || match ask().await {
        Ok(given) => {
            answer = Some(given.into_inner());
            true
        }
        Err(busy) => {
            assert_eq!(busy.code(), Code::Aborted, "{busy:?}");
            false
        }
    })
    .await;
    answer.expect("an answer")
}

async fn a_week_later_keys_have_rotated_by_themselves(mesh: Mesh) {
    let viewer = Operator::connect(&mesh.layout, "viewer").expect("an operator");
    let status = async |service: &str| {
        let mut custody = viewer.custody(service);
        let status = custody.get_key_status(GetKeyStatusRequest {}).await;
        status.expect("a status").into_inner()
    };
    let ids = |status: &GetKeyStatusResponse| -> Vec<i64> {
        status.epochs.iter().map(|epoch| epoch.id).collect()
    };
    for service in STORING {
        assert_eq!(ids(&status(service).await), [1], "{service}");
    }
    mesh.clock.advance(7 * 24 * 3_600);
    for service in STORING {
        eventually(service, async || {
            let status = status(service).await;
            ids(&status) == [2] && !status.rotation_running
        })
        .await;
        let mut custody = viewer.custody(service);
        let backups = custody.list_backups(ListBackupsRequest {}).await;
        let backups = backups.expect("a list").into_inner().backups;
        assert!(
            backups.iter().all(|backup| backup.epoch == 2) && !backups.is_empty(),
            "{service}"
        );
    }
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

    let is_told = async || {
        let told = entries(&mesh, |request| request.code = "backup_restored".into()).await;
        told.iter()
            .any(|entry| entry["actor"] == "operator/privacy/dev")
    };
    eventually("the restore is told", is_told).await;
    // The secret, and the key that has signed.
    assert_eq!(partner.ask_token(&[]).await.status, 200);
    eventually("its tokens open again", async || {
        partner.open_by_plate(BARRIER, &token, PLATE).await.status == 200
    })
    .await;
}
