//! The replica that gives the audit log's numbers is killed; another goes on.

use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use devmesh::{
    layout::{Addresses, Layout},
    operator::Operator,
    processes::built_binaries,
};
use mesh_tests::{Database, ProcessMesh};
use propdev_proto::access::{
    CreateDeviceRequest, Device, DeviceKind, GetLogRequest, SearchEntriesRequest,
};
use serde_json::Value;
use tokio::process::{Child, Command};
use tonic::Code;

use crate::{eventually, propctl};

const ACCESS: &str = "access-svc";

/// Devices whose creation was acknowledged: an entry each.
type Acknowledged = Arc<Mutex<Vec<String>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_goes_on_numbering_and_nothing_is_lost_or_told_twice() {
    let mut mesh = ProcessMesh::start_with(Database::Postgres, |_, text| text).await;
    let acknowledged = Acknowledged::default();
    let count = || acknowledged.lock().expect("a lock").len();
    let first = Operator::connect(&mesh.layout, "operator").expect("an operator");
    // From here on the first one has work, so that it does not let go.
    let at_first = tokio::spawn(tell(first, template(&mesh, "first"), acknowledged.clone()));
    let (_second, layout) = start_second(&mesh);
    let second = Operator::connect(&layout, "operator").expect("an operator");
    eventually("the second replica serves", async || {
        let mut log = second.audit_log();
        log.get_log(GetLogRequest {}).await.is_ok()
    })
    .await;
    let telling = tell(
        second.clone(),
        template(&mesh, "second"),
        acknowledged.clone(),
    );
    let at_second = tokio::spawn(telling);
    eventually("both are under way", async || count() >= 100).await;

    mesh.processes.kill(ACCESS).await.expect("killed");
    at_first.await.expect("it ends with its service");
    let before = count();
    eventually("the second gives numbers while entries come", async || {
        let numbered = numbered(&second).await;
        let acknowledged = acknowledged.lock().expect("a lock");
        let mut later = acknowledged.iter().skip(before);
        later.any(|device| numbered.contains_key(device))
    })
    .await;
    at_second.abort();
    eventually("all have their numbers", async || {
        let mut log = second.audit_log();
        let state = log.get_log(GetLogRequest {}).await.expect("its state");
        !state.into_inner().queued
    })
    .await;

    let numbered = numbered(&second).await;
    for device in acknowledged.lock().expect("a lock").iter() {
        assert!(numbered.contains_key(device), "{device} was lost");
    }
    let twice: Vec<_> = numbered.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    mesh.processes.restart(ACCESS).await.expect("restarted");
    let verified = propctl(&mesh.layout, "viewer", &["audit", "verify"]).await;
    assert!(verified.status.success(), "{verified:?}");
    mesh.processes.stop().await.expect("stopped");
}

/// A second access-svc on the same database and keys, and how to reach it.
fn start_second(mesh: &ProcessMesh) -> (Child, Layout) {
    let addresses = Addresses::free(None).expect("free ports");
    let file = mesh.layout.config_file(ACCESS);
    let mut text = fs::read_to_string(file).expect("a configuration");
    for of in [Addresses::grpc, Addresses::admin] {
        let (old, new) = (of(&mesh.layout.addresses, ACCESS), of(&addresses, ACCESS));
        text = text.replace(&old.to_string(), &new.to_string());
    }
    let file = mesh.folder.path().join("second.toml");
    fs::write(&file, text).expect("written");
    let program = built_binaries().expect("a folder of programs").join(ACCESS);
    let child = Command::new(program)
        .env_clear()
        .arg("--config")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it runs");
    let layout = Layout {
        addresses,
        ..mesh.layout.clone()
    };
    (child, layout)
}

fn template(mesh: &ProcessMesh, name: &str) -> Device {
    Device {
        partner_id: mesh.estate.partner_id.clone(),
        site_id: mesh.estate.site_id.clone(),
        kind: DeviceKind::Door.into(),
        name: name.to_owned(),
        time_zone: "Europe/Moscow".to_owned(),
        ..Device::default()
    }
}

/// Entries one after the other, until the service is gone.
async fn tell(operator: Operator, template: Device, acknowledged: Acknowledged) {
    let mut devices = operator.devices();
    for i in 0_u32.. {
        let device_id = format!("{}-{i}", template.name);
        let request = CreateDeviceRequest {
            device: Some(Device {
                device_id: device_id.clone(),
                ..template.clone()
            }),
        };
        match devices.create_device(request).await {
            Ok(_) => acknowledged.lock().expect("a lock").push(device_id),
            Err(status) if status.code() == Code::Unavailable => return,
            // Late, and so not acknowledged.
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many entries with a number tell of each device's creation.
async fn numbered(operator: &Operator) -> BTreeMap<String, usize> {
    let mut numbered = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = SearchEntriesRequest {
            page_size: 1_000,
            page_token,
            code: "device_created".into(),
            ..SearchEntriesRequest::default()
        };
        let found = operator.audit_log().search_entries(request).await;
        let page = found.expect("entries").into_inner();
        for entry in page.entries {
            let said: Value = serde_json::from_slice(&entry.payload).expect("an entry");
            let device = said["device"].as_str().expect("a device").to_owned();
            *numbered.entry(device).or_default() += 1;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return numbered;
        }
    }
}
