//! Services whose keyrings Transit wraps.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use devmesh::{
    estate::{BARRIER, DOOR, PLATE},
    layout::ERASING,
    operator::Operator,
};
use mesh::{
    config::{KeyringConfig, TransitConfig},
    keyring::Keyring,
};
use mesh_tests::{Database, Mesh, Partner};
use propdev_proto::mesh::{
    CreateBackupRequest, GetKeyStatusRequest, VerifyBackupRequest,
    verify_backup_request::Backup as Whose,
};
use tonic::Code;
use transit_stand_in::{MOUNT, StandIn};

use crate::{eventually, propctl};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_epoch_opens_from_no_copy_on_sqlite() {
    an_ended_epoch_opens_from_no_copy(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_epoch_opens_from_no_copy_on_postgres() {
    an_ended_epoch_opens_from_no_copy(Database::Postgres).await;
}

fn transit(service: &str, server: &StandIn) -> TransitConfig {
    TransitConfig {
        endpoint: server.endpoint().into(),
        key: service.into(),
        mount: MOUNT.into(),
        token_path: server.token_path(),
        ca_path: None,
    }
}

/// What needs the keys of both services.
async fn everybody_opens(mesh: &Mesh, partner: &Partner) {
    let token = partner.token().await;
    let by_plate = partner.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(by_plate.status, 200, "{by_plate:?}");
    let face = partner.face_token(&mesh.estate.resident.probe()).await;
    let by_face = partner.open_door(DOOR, &face).await;
    assert_eq!(by_face.status, 200, "{by_face:?}");
}

async fn verify(operator: &Operator, service: &str, path: &Path) -> Result<(), tonic::Status> {
    let path = path.to_str().expect("a path").to_owned();
    let request = VerifyBackupRequest {
        backup: Some(Whose::Path(path)),
    };
    let verified = operator.custody(service).verify_backup(request).await;
    verified.map(drop)
}

async fn an_ended_epoch_opens_from_no_copy(database: Database) {
    let mut servers = BTreeMap::new();
    for service in ERASING {
        servers.insert(service, StandIn::start(service).await);
    }
    let mut mesh = Mesh::start_with(database, |service, text| match servers.get(service) {
        Some(server) => {
            let transit = transit(service, server);
            format!(
                "{text}[keyring.transit]\nendpoint = {:?}\nkey = {:?}\nmount = {:?}\n\
                 token_path = {:?}\n",
                transit.endpoint, transit.key, transit.mount, transit.token_path
            )
        }
        None => text,
    })
    .await;
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let partner = mesh.partner();
    everybody_opens(&mesh, &partner).await;

    // What somebody has carried away: a backup, and the keyring of its time.
    let mut copies = BTreeMap::new();
    for service in ERASING {
        let keyring = fs::read_to_string(mesh.layout.keyring(service)).expect("a keyring");
        assert!(keyring.contains("vault:v1:"), "{service}");
        let taken = operator
            .custody(service)
            .create_backup(CreateBackupRequest {})
            .await;
        let backup = taken.expect("taken").into_inner().backup.expect("one");
        let backup = Path::new(&backup.path).file_name().expect("a name");
        let backup = mesh.layout.backup_folder(service).join(backup);
        let aside = backup.with_extension("aside");
        fs::copy(&backup, &aside).expect("copied");
        verify(&operator, service, &aside).await.expect("whole");
        copies.insert(service, (keyring, aside));
    }

    let services = ERASING.join(",");
    let arguments = ["keys", "rotate", "--service", services.as_str()];
    let rotated = propctl(&mesh.layout, "operator", &arguments).await;
    assert!(rotated.status.success(), "{rotated:?}");
    everybody_opens(&mesh, &partner).await;

    for (service, (keyring, aside)) in copies {
        let status = operator
            .custody(service)
            .get_key_status(GetKeyStatusRequest {})
            .await;
        let epochs = status.expect("a status").into_inner().epochs;
        let epochs: Vec<i64> = epochs.iter().map(|epoch| epoch.id).collect();
        assert_eq!(epochs, [2], "{service}");
        assert_eq!(servers[service].versions(), [2], "{service}: trimmed");

        // The service does not open it.
        let refused = verify(&operator, service, &aside).await;
        let refused = refused.expect_err("of an epoch that has ended");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        let (reason, _) = mesh::error::reason(&refused).expect("a reason");
        assert_eq!(reason, "KEY_EPOCH_MISSING");
        // Nor does Transit, with the keyring that belongs to it.
        let mut config = KeyringConfig::at(mesh.folder.path().join(format!("{service}.old")));
        fs::write(&config.path, keyring).expect("written");
        fs::set_permissions(&config.path, Permissions::from_mode(0o600)).expect("chmod");
        config.transit = Some(transit(service, &servers[service]));
        let refused = Keyring::open(service, &config).await.err();
        let refused = refused.expect("too old").to_string();
        assert!(refused.contains("too old"), "{refused}");
    }

    // What is left opens at a start.
    for service in ERASING {
        mesh.stop(service).await;
        mesh.restart(service).await;
    }
    let token = partner.token().await;
    eventually("auth-svc has told access-svc of its keys", async || {
        partner.open_by_plate(BARRIER, &token, PLATE).await.status == 200
    })
    .await;
    everybody_opens(&mesh, &partner).await;
}
