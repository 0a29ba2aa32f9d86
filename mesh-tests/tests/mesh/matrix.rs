//! Every RPC against every kind of caller, from the contracts themselves.

use std::collections::BTreeSet;

use bytes::Bytes;
use devmesh::layout::{Layout, SERVICES, STORING, TRUST_DOMAIN};
use mesh::{policy::Policy, tls::Credentials};
use mesh_tests::{Database, Mesh, NO_MESSAGE, Outsider, issue_as};
use propctl::dev::{self, Names, Validity};
use tonic::Code;
use tower::{Service, ServiceExt};

const CALLERS: [&str; 10] = [
    "svc/auth-svc",
    "svc/access-svc",
    "svc/biometric-svc",
    "svc/edge-rest",
    "svc/unheard-of",
    "operator/viewer/x",
    "operator/operator/x",
    "operator/privacy/x",
    "system/billing/x",
    "system/registry/x",
];

/// Who serves an RPC: custody's every service that stores.
fn owners(path: &str) -> &'static [&'static str] {
    match path.split('.').nth(1) {
        Some("auth") => &["auth-svc"],
        Some("access") => &["access-svc"],
        Some("biometric") => &["biometric-svc"],
        Some("mesh") => &STORING,
        _ => &["edge-rest"],
    }
}

/// Every RPC at each service that serves it.
fn served(policy: &Policy) -> impl Iterator<Item = (&str, &'static str)> {
    policy
        .iter()
        .flat_map(|(path, _)| owners(path).iter().map(move |service| (path, *service)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rpc_is_open_to_those_its_contract_names_and_to_nobody_else() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let policy = Policy::built_in().expect("contracts");
    let mut refused = 0;
    for identity in CALLERS {
        let caller: mesh::Caller = identity.parse().expect("an identity");
        let channels: Vec<_> = SERVICES
            .iter()
            .map(|service| (*service, channel(&mesh.layout, identity, service, &policy)))
            .collect();
        for (path, service) in served(&policy) {
            let mut channel = channels
                .iter()
                .find(|(name, _)| *name == service)
                .map(|(_, channel)| channel.clone())
                .expect("a channel");
            let code = call(&mut channel, path).await;
            let allowed = policy.allows(path, &caller);
            assert_eq!(
                code != Code::PermissionDenied,
                allowed,
                "{identity} -> {service}{path}: {code:?}"
            );
            assert_ne!(code, Code::Unimplemented, "{service}{path}");
            refused += usize::from(!allowed);
        }
    }
    assert!(refused > 200, "only {refused} refusals were seen");
}

/// The same names in another trust domain are strangers' names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_trust_domains_callers_are_refused_everywhere() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let policy = Policy::built_in().expect("contracts");
    let of = |domain: &str, identity: &str| {
        let pem = issue_as(&mesh.layout, &format!("spiffe://{domain}/{identity}"));
        Outsider::new(&mesh.layout, Some(&pem))
    };
    for identity in CALLERS {
        let caller: mesh::Caller = identity.parse().expect("an identity");
        let (own, foreign) = (of(TRUST_DOMAIN, identity), of("other.example", identity));
        for (path, service) in served(&policy).filter(|(path, _)| policy.allows(path, &caller)) {
            let code = own.call(service, path).await.expect("an answer");
            assert_ne!(code, Code::PermissionDenied, "{identity} -> {path}");
            let code = foreign.call(service, path).await.expect("an answer");
            assert_eq!(code, Code::PermissionDenied, "{identity} -> {path}");
        }
        let health = "/grpc.health.v1.Health/Check";
        let code = foreign.call("access-svc", health).await;
        assert_eq!(code.expect("an answer"), Code::PermissionDenied);
    }
}

/// The network lets in whom the contracts let in, and nobody else.
#[test]
fn the_charts_network_policies_name_the_contracts_callers() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../charts/access-mesh/files/mesh.json"
    );
    let text = std::fs::read_to_string(file).expect("the chart's members");
    let members: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let policy = Policy::built_in().expect("contracts");
    for service in SERVICES {
        let named: BTreeSet<String> = policy
            .iter()
            .filter(|(path, _)| owners(path).contains(&service))
            .flat_map(|(_, rpc)| &rpc.callers)
            .map(|class| match class.split_once('/') {
                Some(("svc", _)) => class.clone(),
                Some((kind, _)) => kind.to_owned(),
                None => class.clone(),
            })
            .collect();
        let chart: BTreeSet<String> =
            serde_json::from_value(members[service]["callers"].clone()).expect("callers");
        assert_eq!(chart, named, "{service}");
    }
}

pub(crate) fn channel(
    layout: &Layout,
    identity: &str,
    service: &'static str,
    policy: &std::sync::Arc<Policy>,
) -> mesh::client::MeshChannel {
    let folder = layout.root.join("callers").join(identity.replace('/', "-"));
    let validity = Validity::days_from_now(1);
    dev::issue_mesh(
        &layout.pki(),
        identity,
        &Names::default(),
        validity,
        &folder,
    )
    .expect("a certificate");
    let credentials = Credentials::load(layout.tls(&folder)).expect("credentials");
    let endpoint = format!("https://{}", layout.addresses.grpc(service));
    mesh::client::connect(service, &endpoint, credentials, policy.clone()).expect("a channel")
}

async fn call(channel: &mut mesh::client::MeshChannel, path: &str) -> Code {
    let frame = Bytes::from_static(&NO_MESSAGE);
    let request = http::Request::post(format!("http://mesh{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(http_body_util::Full::new(frame)))
        .expect("a request");
    let response = channel
        .ready()
        .await
        .expect("ready")
        .call(request)
        .await
        .expect("an answer");
    tonic::Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}
