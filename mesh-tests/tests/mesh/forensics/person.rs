//! What access-svc leaves of somebody who was erased: it knows the name, the
//! vehicle, and the key over both.

use std::{path::Path, time::Duration};

use devmesh::{
    estate::{self, BARRIER},
    layout::INFORMATION_SYSTEM,
    operator::Operator,
};
use mesh::{
    config::KeyringConfig,
    keyring::{Keyring, WrappedKey},
};
use mesh_tests::ProcessMesh;
use propdev_proto::{
    access::{AddVehicleRequest, CreateResidentRequest},
    auth::PlateReading,
};
use sea_orm::{ConnectionTrait, Database as Connection, DbBackend, Statement};
use uuid::Uuid;

use super::{ATTEMPTS, Marks, search_folder, search_memory};

const ACCESS: &str = "access-svc";
/// As the estate calls whoever leaves.
const NAME: &str = "Vera Example";
const PLATE: &str = "C789OP197";

pub(super) struct Person {
    /// The data key, the name and the plate.
    marks: Marks,
    wrapped: Marks,
}

impl Person {
    /// Drives in with a vehicle of their own.
    pub(super) async fn settle_in(mesh: &ProcessMesh, leaver: &estate::Person) -> Self {
        let operator = operator(mesh);
        add_vehicle(&operator, &leaver.resident_id, PLATE).await;
        let partner = mesh.partner();
        let token = partner.token().await;
        let opened = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(opened.status, 200, "{opened:?}");

        let id: Uuid = leaver.resident_id.parse().expect("a UUID");
        let wrapped = wrapped_key(mesh, id).await;
        let config = KeyringConfig::at(mesh.layout.keyring(ACCESS));
        let keyring = Keyring::open(ACCESS, &config).await.expect("the keyring");
        let key = keyring.unwrap(&wrapped, id.as_bytes()).expect("unwrapped");
        let person = Self {
            marks: vec![
                ("data key".into(), key.expose().to_vec()),
                ("name".into(), NAME.into()),
                ("plate".into(), PLATE.into()),
            ],
            wrapped: vec![("wrapped key".into(), wrapped.sealed)],
        };
        // The searches find what is there.
        let data = mesh.folder.path().join("data");
        assert!(!search_folder(&data, &person.wrapped).is_empty());
        let configured = vec![("configured".into(), INFORMATION_SYSTEM.into())];
        assert!(!in_memory(mesh, &configured).is_empty());
        person
    }

    pub(super) async fn is_in_no_memory(&self, mesh: &ProcessMesh) {
        let mut left = Vec::new();
        for number in 0..ATTEMPTS {
            left = in_memory(mesh, &self.marks);
            if left.is_empty() {
                break;
            }
            others_go_on(mesh, number).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(left, [""; 0], "in the memory of {ACCESS}");
    }

    /// Nor is the wrapped key, which a backup's keyring would open.
    pub(super) fn is_in_no_file(&self, data: &Path) {
        assert_eq!(search_folder(data, &self.marks), [""; 0]);
        assert_eq!(search_folder(data, &self.wrapped), [""; 0]);
    }
}

fn operator(mesh: &ProcessMesh) -> Operator {
    Operator::connect(&mesh.layout, "operator").expect("an operator")
}

async fn add_vehicle(operator: &Operator, resident: &str, plate: &str) {
    let request = AddVehicleRequest {
        resident_id: resident.into(),
        plate: Some(PlateReading {
            number: plate.into(),
            country: String::new(),
        }),
        ..AddVehicleRequest::default()
    };
    let added = operator.holdings().add_vehicle(request).await;
    added.expect("a vehicle");
}

async fn wrapped_key(mesh: &ProcessMesh, resident: Uuid) -> WrappedKey {
    let url = mesh.layout.sqlite_url(ACCESS);
    let db = Connection::connect(url).await.expect("the store");
    let asked = Statement::from_sql_and_values(
        DbBackend::Sqlite,
        "SELECT epoch, wrapped_key FROM residents WHERE id = ?",
        [resident.into()],
    );
    let row = db.query_one_raw(asked).await.expect("asked");
    let row = row.expect("the resident");
    let wrapped = WrappedKey {
        epoch: row.try_get("", "epoch").expect("an epoch"),
        sealed: row.try_get("", "wrapped_key").expect("a key"),
    };
    db.close().await.expect("closed");
    wrapped
}

/// What calls left in buffers and on stacks goes with those that come after.
async fn others_go_on(mesh: &ProcessMesh, number: usize) {
    let operator = operator(mesh);
    let request = CreateResidentRequest {
        name: "Somebody Else".into(),
        site_ids: vec![mesh.estate.site_id.clone()],
        ..CreateResidentRequest::default()
    };
    let created = operator.residents().create_resident(request).await;
    let created = created.expect("created").into_inner().resident;
    let resident = created.expect("a resident").resident_id;
    let plate = format!("K{:03}XX77", number + 1);
    add_vehicle(&operator, &resident, &plate).await;
    let partner = mesh.partner();
    let token = partner.token().await;
    let denied = partner.open_by_plate(BARRIER, &token, &plate).await;
    assert_eq!(denied.status, 403, "{denied:?}");
}

fn in_memory(mesh: &ProcessMesh, marks: &Marks) -> Vec<String> {
    let processes = mesh.processes.ids();
    let ours = processes.into_iter().find(|(name, _)| *name == ACCESS);
    let (_, id) = ours.expect("it runs");
    search_memory(id, marks)
}
