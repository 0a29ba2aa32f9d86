//! What the programs tell of themselves: traces that run through every
//! service, counters, and nothing personal in either, in a log, in an error or
//! in what goes out to a partner.

use std::collections::BTreeSet;

use devmesh::estate::{BARRIER, DOOR, FOB, KEY, OTHER_DOOR, PLATE, UNPAID_PLATE};
use futures::future::join_all;
use mesh_tests::{Answer, Collector, Partner, ProcessMesh, Told};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use propdev_proto::access::{ListSitesRequest, site_service_client::SiteServiceClient};
use reqwest::Method;
use serde_json::json;
use tonic::Code;

use crate::eventually;

const KEY_EVENTS: &str = "/v1/webhooks/intercom/key-openings";
const FOB_EVENTS: &str = "/v1/webhooks/barrier/fob-openings";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marked_values_reach_no_log_span_metric_error_or_partner() {
    let collector = Collector::start().await;
    let telemetry = format!(
        "log_format = \"json\"\nlog_filter = \"trace\"\notlp_endpoint = \"http://{}\"\n",
        collector.address
    );
    let mesh = ProcessMesh::start(Some(&telemetry)).await;
    let partner = mesh.partner();
    let anna = &mesh.estate.resident;
    let probes: Vec<Vec<f32>> = (0..4).map(|_| anna.probe()).collect();

    let client = partner.token().await;
    let face = partner.face_token(&probes[0]).await;
    assert_eq!(partner.open_door(DOOR, &face).await.status, 200);
    let by_face = partner.open_by_face(DOOR, &client, &probes[1]).await;
    assert_eq!(by_face.status, 200);
    let plate = partner.plate_token("а 123 вс 77").await;
    assert_eq!(partner.open_barrier(BARRIER, &plate).await.status, 200);
    let by_plate = partner.open_by_plate(BARRIER, &client, PLATE).await;
    assert_eq!(by_plate.status, 200);
    for (path, name, id) in [(KEY_EVENTS, "key_id", KEY), (FOB_EVENTS, "fob_id", FOB)] {
        let mut event = json!({"opened_at": "2026-11-24T06:00:00Z"});
        event[name] = json!(id);
        assert_eq!(partner.post(path, &client, Some(&event)).await.status, 202);
    }
    let mut errors = refusals(&mesh, &partner, &client, &probes[2]).await;
    errors.push(partner.open_door(DOOR, &face).await);
    mesh.sim
        .behave(&json!({"mode": "refuse"}))
        .await
        .expect("told");
    errors.push(partner.open_by_face(DOOR, &client, &probes[3]).await);
    errors.push(partner.open_by_plate(BARRIER, &client, PLATE).await);
    assert!(errors.iter().all(|error| error.status >= 400));
    let commands = mesh.sim.commands().await.expect("commands");
    let token_requests = mesh.sim.token_requests().await.expect("token requests");
    assert_eq!(commands.len(), 6);
    assert!(token_requests.len() > 1, "one of each of our clients");
    let outbound = format!("{commands:?} {token_requests:?}");
    let errors = format!("{errors:?}");

    let mut published = String::new();
    for service in devmesh::layout::SERVICES {
        published.push_str(&mesh.metrics(service).await);
    }
    assert!(published.contains("rpc_server_duration"));
    let ProcessMesh {
        layout,
        estate,
        processes,
        folder: _folder,
        ..
    } = mesh;
    processes.stop().await.expect("stopped");
    let mesh_logs: String = devmesh::layout::SERVICES
        .iter()
        .map(|service| std::fs::read_to_string(layout.log_file(service)).expect("a log"))
        .collect();
    let spans = collector.spans();
    let told = format!("{spans:?}");
    let mut secrets: Vec<String> = vec![
        "Anna Example".into(),
        PLATE.into(),
        UNPAID_PLATE.into(),
        "А123ВС77".into(),
        "ПЛАСТИНА".into(),
        KEY.into(),
        FOB.into(),
        estate.client_secret.clone(),
        estate.resident.resident_id.clone(),
        client,
        face,
        plate,
    ];
    for probe in &probes {
        let encoded = partner_sim::face::to_base64url(probe);
        secrets.push(encoded[..40].to_owned());
        secrets.push(format!("{},{}", probe[0], probe[1]));
        secrets.push(format!("{}, {}", probe[0], probe[1]));
    }
    for secret in &secrets {
        for (place, text) in [
            ("log", &mesh_logs),
            ("span", &told),
            ("metric", &published),
            ("error", &errors),
            ("request to a partner", &outbound),
        ] {
            if let Some(at) = text.find(secret.as_str()) {
                let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
                let line: String = text[from..].chars().take(1_000).collect();
                panic!("{secret} stands in a {place}: {line}");
            }
        }
    }
    assert!(mesh_logs.len() > 100_000, "the logs were there to search");
    assert!(
        mesh_logs.contains(&by_face.text("opening_id")),
        "what is not personal is told"
    );

    let whole = collector.traces().into_values().any(|trace| {
        let of: BTreeSet<&str> = trace.iter().map(|told| told.service.as_str()).collect();
        // Each callee continues its caller's trace.
        of == BTreeSet::from(["edge-rest", "access-svc", "biometric-svc"])
            && has_parent(&trace, "access-svc")
            && has_parent(&trace, "biometric-svc")
    });
    assert!(whole, "one trace of a whole opening");
}

/// Refusals and faults, which tell the most, of each flow.
async fn refusals(
    mesh: &ProcessMesh,
    partner: &Partner,
    client: &str,
    probe: &[f32],
) -> Vec<Answer> {
    let plate = "НЕ-ПЛАСТИНА-1";
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    let mut errors = vec![
        partner.ask_face_token(&stranger).await,
        partner.ask_face_token(&probe[..100]).await,
        partner.ask_token(&[("plate", plate)]).await,
        partner.open_by_face(DOOR, client, &stranger).await,
        partner.open_by_face(DOOR, client, &probe[..100]).await,
        partner.open_by_face(OTHER_DOOR, client, probe).await,
        partner.open_by_plate(BARRIER, client, plate).await,
        partner.open_by_plate(BARRIER, client, UNPAID_PLATE).await,
        partner.open_by_plate(OTHER_DOOR, client, PLATE).await,
    ];
    for (path, name, id) in [(KEY_EVENTS, "key_id", KEY), (FOB_EVENTS, "fob_id", FOB)] {
        let mut event = json!({"opened_at": "yesterday"});
        event[name] = json!(id);
        errors.push(partner.post(path, client, Some(&event)).await);
    }
    let cut_short = format!("{{\"plate\":{{\"number\":\"{PLATE}\"");
    let request = partner
        .request(Method::POST, &format!("/v1/barriers/{BARRIER}/open"))
        .bearer_auth(client)
        .header("Content-Type", "application/json")
        .body(cut_short);
    errors.push(Partner::send(request).await);
    errors
}

/// Whether the first span of a service hangs below another service's.
fn has_parent(trace: &[Told], service: &str) -> bool {
    trace
        .iter()
        .filter(|told| told.service == service)
        .any(|told| {
            trace.iter().any(|parent| {
                parent.service != service && parent.span.span_id == told.span.parent_span_id
            })
        })
}

/// What is sent inside together keeps traces and ids apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_go_together_keep_their_own_traces() {
    let collector = Collector::start().await;
    let telemetry = format!("otlp_endpoint = \"http://{}\"\n", collector.address);
    let mesh = ProcessMesh::start(Some(&telemetry)).await;
    let partner = mesh.partner();
    let mut links = vec![];
    eventually("some go together", async || {
        join_all((0..16).map(|_| partner.ask_token(&[]))).await;
        let group = collector.spans().into_iter().find(|told| {
            told.service == "edge-rest" && told.span.name == "together" && told.span.links.len() > 1
        });
        links = group.map_or_else(Vec::new, |told| told.span.links);
        !links.is_empty()
    })
    .await;
    let traces_are_whole = || {
        let traces = collector.traces();
        links.iter().all(|link| {
            let trace = traces.get(&link.trace_id).map_or(&[][..], Vec::as_slice);
            let outside = trace
                .iter()
                .find(|told| told.service == "edge-rest" && told.span.span_id == link.span_id);
            let inside = trace.iter().find(|told| {
                told.service == "auth-svc" && told.span.parent_span_id == link.span_id
            });
            outside.zip(inside).is_some_and(|(outside, inside)| {
                let id = request_id(outside);
                id.is_some() && id == request_id(inside)
            })
        })
    };
    eventually("each is told of in its own trace", async || {
        traces_are_whole()
    })
    .await;
    mesh.processes.stop().await.expect("stopped");
}

fn request_id(told: &Told) -> Option<String> {
    let attributes = &told.span.attributes;
    let found = attributes.iter().find(|one| one.key == "request_id")?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_is_counted_and_told_with_both_names() {
    let mesh = ProcessMesh::start(None).await;
    let folder = mesh.folder.path().join("certificates/edge-rest");
    let credentials = mesh::tls::Credentials::load(mesh.layout.tls(&folder)).expect("credentials");
    let endpoint = format!("https://{}", mesh.layout.addresses.grpc("access-svc"));
    let policy = mesh::policy::Policy::built_in().expect("contracts");
    let channel = mesh::client::connect("access-svc", &endpoint, credentials, policy);
    let before = mesh
        .counted("access-svc", "mesh_server_refused_total")
        .await;
    let refused = SiteServiceClient::new(channel.expect("a channel"))
        .list_sites(ListSitesRequest::default())
        .await
        .expect_err("the edge lists no sites");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let after = mesh
        .counted("access-svc", "mesh_server_refused_total")
        .await;
    assert!(
        (after - before - 1.0).abs() < f64::EPSILON,
        "{before} then {after}"
    );
    let logs = mesh.logs();
    let line = logs
        .lines()
        .find(|line| line.contains("call refused"))
        .expect("a line");
    assert!(
        line.contains("svc/edge-rest") && line.contains("access-svc"),
        "{line}"
    );
    mesh.processes.stop().await.expect("stopped");
}
