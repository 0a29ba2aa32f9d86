//! The whole trust of the mesh is changed under traffic: a new CA beside the
//! old, new certificates, the old CA gone. No call fails, and what the old CA
//! signed is refused afterwards, on connections already made too.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use devmesh::{
    estate::{BARRIER, PLATE},
    layout::{SERVICES, TRUST_DOMAIN},
};
use mesh::{policy::Policy, tls::Credentials};
use mesh_tests::ProcessMesh;
use propctl::dev::{self, Names, Validity};
use propdev_proto::access::{ListSitesRequest, site_service_client::SiteServiceClient};
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_is_replaced_under_traffic() {
    let mesh = ProcessMesh::start(None).await;
    let policy = Policy::built_in().expect("contracts");
    let endpoint = format!("https://{}", mesh.layout.addresses.grpc("access-svc"));
    let viewer = mesh.layout.operator_folder("viewer");
    let old = Credentials::load(mesh.layout.tls(&viewer)).expect("credentials");
    let channel = mesh::client::connect("access-svc", &endpoint, old, policy.clone());
    let mut old = SiteServiceClient::new(channel.expect("a channel"));
    old.list_sites(ListSitesRequest::default())
        .await
        .expect("the old CA's certificate is good");

    let ended = Arc::new(AtomicBool::new(false));
    let opened = Arc::new(AtomicUsize::new(0));
    let partner = mesh.partner();
    let token = partner.token().await;
    let traffic = tokio::spawn({
        let (ended, opened) = (ended.clone(), opened.clone());
        async move {
            while !ended.load(Ordering::Relaxed) {
                let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                let answer = partner.ask_token(&[]).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                opened.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let traffic_passes = async || {
        let before = opened.load(Ordering::Relaxed);
        while opened.load(Ordering::Relaxed) < before + 3 && !traffic.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    traffic_passes().await;

    let bundle = mesh.layout.ca();
    let old_ca = fs::read_to_string(&bundle).expect("the old CA");
    let new_pki = mesh.folder.path().join("new-pki");
    dev::create_ca(&new_pki, TRUST_DOMAIN).expect("a new CA");
    let new_ca = fs::read_to_string(new_pki.join(dev::CA_CERTIFICATE)).expect("the new CA");

    // A broken file changes nothing but a counter that an alert can watch.
    replace(&bundle, "broken");
    counted(&mesh, "mesh_tls_reload_failures_total", 2.0).await;
    traffic_passes().await;

    replace(&bundle, &format!("{old_ca}{new_ca}"));
    reloaded(&mesh, 1.0).await;
    traffic_passes().await;
    for service in SERVICES {
        renew(&mesh, &new_pki, &format!("svc/{service}"), service);
    }
    reloaded(&mesh, 2.0).await;
    traffic_passes().await;
    replace(&bundle, &new_ca);
    reloaded(&mesh, 3.0).await;
    traffic_passes().await;
    ended.store(true, Ordering::Relaxed);
    traffic.await.expect("no call failed");

    let refused = old.list_sites(ListSitesRequest::default()).await;
    assert_eq!(
        refused.expect_err("a connection of the old CA").code(),
        Code::PermissionDenied
    );
    let again = Credentials::load(mesh.layout.tls(&viewer)).expect("credentials");
    let channel = mesh::client::connect("access-svc", &endpoint, again, policy.clone());
    let refused = SiteServiceClient::new(channel.expect("a channel"))
        .list_sites(ListSitesRequest::default())
        .await
        .expect_err("a certificate of the old CA");
    assert_eq!(refused.code(), Code::Unavailable);

    renew(&mesh, &new_pki, "operator/viewer/dev", "operator-viewer");
    let renewed = Credentials::load(mesh.layout.tls(&viewer)).expect("credentials");
    let channel = mesh::client::connect("access-svc", &endpoint, renewed, policy);
    SiteServiceClient::new(channel.expect("a channel"))
        .list_sites(ListSitesRequest::default())
        .await
        .expect("a certificate of the new CA");
    mesh.processes.stop().await.expect("stopped");
}

/// Issues into a draft folder, then puts the pair in place: a service that
/// reads between the two keeps the old pair and looks again.
fn renew(mesh: &ProcessMesh, pki: &Path, identity: &str, folder: &str) {
    let draft = mesh.folder.path().join("draft").join(folder);
    dev::issue_mesh(
        pki,
        identity,
        &Names::localhost(),
        Validity::days_from_now(1),
        &draft,
    )
    .expect("a certificate");
    for file in [dev::CERTIFICATE, dev::PRIVATE_KEY] {
        let place = mesh.folder.path().join("certificates").join(folder);
        fs::rename(draft.join(file), place.join(file)).expect("replaced");
    }
}

fn replace(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    fs::write(&draft, text).expect("written");
    fs::rename(draft, file).expect("replaced");
}

/// Waits until every service has reloaded so many times.
async fn reloaded(mesh: &ProcessMesh, times: f64) {
    counted(mesh, "mesh_tls_reloads_total", times).await;
}

async fn counted(mesh: &ProcessMesh, counter: &str, times: f64) {
    for service in SERVICES {
        let all = async {
            while mesh.counted(service, counter).await < times {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), all).await;
        assert!(waited.is_ok(), "{service}: {counter} is below {times}");
    }
}
