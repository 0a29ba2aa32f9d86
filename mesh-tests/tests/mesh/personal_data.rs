//! What the disk holds, after every flow has run.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use devmesh::estate::{BARRIER, DOOR, FOB, KEY, PLATE};
use mesh_tests::{Database, Mesh};
use propdev_proto::auth::SetWebhookSecretRequest;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_of_a_store_holds_anything_personal_in_the_clear() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let partner = mesh.partner();
    let token = partner.token().await;
    let probe = mesh.estate.resident.probe();
    assert_eq!(partner.open_by_face(DOOR, &token, &probe).await.status, 200);
    assert_eq!(
        partner.open_by_plate(BARRIER, &token, PLATE).await.status,
        200
    );
    for (path, name, id) in [
        ("/v1/webhooks/intercom/key-openings", "key_id", KEY),
        ("/v1/webhooks/barrier/fob-openings", "fob_id", FOB),
        (
            "/v1/webhooks/intercom/key-openings",
            "key_id",
            "key-of-nobody",
        ),
    ] {
        let mut event = json!({"opened_at": "2026-11-24T06:00:00Z"});
        event[name] = json!(id);
        assert_eq!(partner.post(path, &token, Some(&event)).await.status, 202);
    }
    let request = SetWebhookSecretRequest {
        client_id: mesh.estate.client_id.clone(),
    };
    let mut clients = crate::clients::operator(&mesh).clients();
    let set = clients.set_webhook_secret(request).await.expect("a secret");
    let signing = set.into_inner().webhook_secret.replace("whsec_", "");
    let enrolled = partner_sim::face::Identity::new(mesh.estate.resident.identity, 512).enrolment();
    let bytes =
        |vector: &[f32]| -> Vec<u8> { vector[..4].iter().flat_map(|v| v.to_le_bytes()).collect() };
    let secrets = [
        b"Anna Example".to_vec(),
        b"signed form 1".to_vec(),
        PLATE.as_bytes().to_vec(),
        KEY.as_bytes().to_vec(),
        FOB.as_bytes().to_vec(),
        b"key-of-nobody".to_vec(),
        mesh.estate.client_secret.as_bytes().to_vec(),
        token.as_bytes().to_vec(),
        STANDARD.decode(&signing).expect("base64"),
        signing.into_bytes(),
        bytes(&probe),
        bytes(&enrolled),
    ];
    let mut searched = 0;
    for entry in fs::read_dir(mesh.folder.path().join("data")).expect("the data folder") {
        let path = entry.expect("a file").path();
        let content = fs::read(&path).expect("readable");
        searched += content.len();
        for secret in &secrets {
            assert!(
                !contains(&content, secret),
                "{} in {}",
                shown(secret),
                path.display()
            );
        }
    }
    assert!(
        searched > 100_000,
        "only {searched} bytes were there to search"
    );
    // The search finds what is there.
    assert!(contains(
        &fs::read(store(mesh.folder.path())).expect("readable"),
        DOOR.as_bytes()
    ));
}

fn store(folder: &Path) -> std::path::PathBuf {
    folder.join("data/access-svc.db-wal")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn shown(secret: &[u8]) -> String {
    String::from_utf8_lossy(secret).into_owned()
}
