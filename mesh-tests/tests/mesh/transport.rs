//! Mutual TLS: who gets in, and certificates that change while serving.

use std::{fs, sync::Arc};

use devmesh::{
    layout::{Layout, SERVICES, TRUST_DOMAIN},
    operator::Operator,
};
use mesh::{policy::Policy, tls::Credentials};
use mesh_tests::{Database, Mesh, Outsider, issue_as};
use propctl::dev::{self, Names, Validity};
use propdev_proto::access::{ListSitesRequest, site_service_client::SiteServiceClient};
use tonic::Code;

async fn list_sites(
    layout: &Layout,
    credentials: Arc<Credentials>,
) -> Result<usize, tonic::Status> {
    let endpoint = format!("https://{}", layout.addresses.grpc("access-svc"));
    let policy = Policy::built_in().expect("contracts");
    let channel =
        mesh::client::connect("access-svc", &endpoint, credentials, policy).expect("a channel");
    let answer = SiteServiceClient::new(channel)
        .list_sites(ListSitesRequest::default())
        .await?;
    Ok(answer.into_inner().sites.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cas_certificate_and_an_expired_one_are_refused() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let identity = "operator/viewer/x";
    let good = Credentials::load(mesh.layout.tls(&mesh.layout.operator_folder("viewer")));
    assert_eq!(
        list_sites(&mesh.layout, good.expect("credentials"))
            .await
            .expect("sites"),
        2
    );

    let stranger = tempfile::tempdir().expect("a folder");
    dev::create_ca(stranger.path(), "propdev.example").expect("another CA");
    let folder = stranger.path().join("x");
    let validity = Validity::days_from_now(1);
    dev::issue_mesh(
        stranger.path(),
        identity,
        &Names::default(),
        validity,
        &folder,
    )
    .expect("a certificate");
    // It trusts our servers, but they do not trust it.
    let credentials = Credentials::load(mesh.layout.tls(&folder)).expect("credentials");
    let refused = list_sites(&mesh.layout, credentials)
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), Code::Unavailable);

    let folder = stranger.path().join("old");
    let from = "2020-01-01T00:00:00Z".parse().expect("a time");
    let validity = Validity { from, days: 1 };
    dev::issue_mesh(
        &mesh.layout.pki(),
        identity,
        &Names::default(),
        validity,
        &folder,
    )
    .expect("a certificate");
    let credentials = Credentials::load(mesh.layout.tls(&folder)).expect("credentials");
    let refused = list_sites(&mesh.layout, credentials)
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_certificate_is_let_in_nowhere_and_who_names_nobody_may_do_nothing() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let showing = |uri: &str| Outsider::new(&mesh.layout, Some(&issue_as(&mesh.layout, uri)));
    let bare = Outsider::new(&mesh.layout, None);
    let nobody = showing("https://propdev.example/svc/edge-rest");
    let viewer = showing(&format!("spiffe://{TRUST_DOMAIN}/operator/viewer/x"));
    let health = "/grpc.health.v1.Health/Check";
    for service in SERVICES {
        let answer = bare.call(service, health).await;
        assert!(answer.is_err(), "{service} answered {answer:?}");
        let code = nobody.call(service, health).await.expect("an answer");
        assert_eq!(code, Code::PermissionDenied, "{service}");
        let code = viewer.call(service, health).await.expect("an answer");
        assert_ne!(code, Code::PermissionDenied, "{service}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_somebody_else_is_not_believed() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let folder = mesh.layout.operator_folder("viewer");
    let credentials = Credentials::load(mesh.layout.tls(&folder)).expect("credentials");
    let endpoint = format!("https://{}", mesh.layout.addresses.grpc("auth-svc"));
    let policy = Policy::built_in().expect("contracts");
    let channel =
        mesh::client::connect("access-svc", &endpoint, credentials, policy).expect("a channel");
    let refused = SiteServiceClient::new(channel)
        .list_sites(ListSitesRequest::default())
        .await
        .expect_err("not access-svc");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(mesh::client::never_sent(&refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_reload_and_a_broken_file_changes_nothing() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let folder = mesh.layout.operator_folder("viewer");
    let credentials = Credentials::load(mesh.layout.tls(&folder)).expect("credentials");
    let before = credentials.id();
    assert!(!credentials.reload().expect("nothing new"));
    mesh.layout
        .issue_operator("viewer", "renewed", &folder)
        .expect("a new certificate");
    assert!(credentials.reload().expect("reloaded"));
    assert_ne!(credentials.id(), before);
    let sites = list_sites(&mesh.layout, credentials.clone()).await;
    assert_eq!(sites.expect("sites"), 2);

    fs::write(folder.join(dev::CERTIFICATE), "broken").expect("written");
    assert!(credentials.reload().is_err());
    let sites = list_sites(&mesh.layout, credentials).await;
    assert_eq!(sites.expect("the old one is in force"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_sees_no_names() {
    let mesh = Mesh::start(Database::Sqlite).await;
    for (role, named) in [("viewer", false), ("operator", false), ("privacy", true)] {
        let operator = Operator::connect(&mesh.layout, role).expect("an operator");
        let residents = operator
            .residents()
            .list_residents(propdev_proto::access::ListResidentsRequest::default())
            .await
            .expect("residents")
            .into_inner()
            .residents;
        assert_eq!(residents.len(), 3);
        assert!(
            residents.iter().all(|r| r.name.is_empty() != named),
            "{role}"
        );
    }
}
