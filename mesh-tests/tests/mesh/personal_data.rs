//! What the disk holds, after every flow has run.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use devmesh::estate::{BARRIER, DOOR, FOB, KEY, PLATE};
use mesh_tests::{Database, Mesh};
use propdev_proto::{
    access::{
        CreateGuestRequest, CreateResidentRequest, DeviceName, GrantTarget, RecordConsentRequest,
    },
    auth::{PlateReading, SetWebhookSecretRequest},
};
use serde_json::json;

use crate::households::{household, moment, operator};

const GUESTS_PLATE: &str = "K321MP197";
const EXTERNAL_ID: &str = "R-hidden-1";

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
    register(&mesh).await;
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
        b"Gleb Hidden".to_vec(),
        GUESTS_PLATE.as_bytes().to_vec(),
        b"Nina Hidden".to_vec(),
        EXTERNAL_ID.as_bytes().to_vec(),
        b"form hidden 7".to_vec(),
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

/// A guest with a vehicle, and somebody whom another system knows and who has consented.
async fn register(mesh: &Mesh) {
    let (clerk, privacy) = (operator(mesh, "operator"), operator(mesh, "privacy"));
    let site = &mesh.estate.site_id;
    let guest = CreateGuestRequest {
        household_id: household(&clerk, site).await.household_id,
        name: "Gleb Hidden".into(),
        ends_at: Some(moment(mesh, 3_600)),
        plate: Some(PlateReading {
            number: GUESTS_PLATE.into(),
            country: String::new(),
        }),
        targets: vec![GrantTarget {
            device: Some(DeviceName {
                partner_id: mesh.estate.partner_id.clone(),
                device_id: DOOR.into(),
            }),
            device_group_id: String::new(),
        }],
        windows: vec![],
    };
    let invited = clerk.guests().create_guest(guest).await;
    invited.expect("a guest");
    let resident = CreateResidentRequest {
        name: "Nina Hidden".into(),
        site_ids: vec![site.clone()],
        external_ids: [("registry-1".into(), EXTERNAL_ID.into())].into(),
        ..CreateResidentRequest::default()
    };
    let created = clerk.residents().create_resident(resident).await;
    let resident = created.expect("created").into_inner().resident;
    let consent = RecordConsentRequest {
        resident_id: resident.expect("a resident").resident_id,
        reference: "form hidden 7".into(),
        consented_at: Some(moment(mesh, 0)),
    };
    let recorded = privacy.consents().record_consent(consent).await;
    recorded.expect("recorded");
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
