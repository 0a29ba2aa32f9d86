//! Openings and commands that go between the services in one call: each stands
//! or falls alone.

use std::time::{Duration, Instant};

use devmesh::estate::{BARRIER, DOOR, MODEL, OTHER_PARTNER, PLATE};
use futures::future::join_all;
use mesh::{client::MeshChannel, policy::Policy};
use mesh_tests::{Database, Mesh, Partner, ProcessMesh, on_both_databases};
use propdev_proto::{
    access::{
        CommandStatus, DeviceKind, OpenBatchRequest, OpenBatchResponse, OpenRequest, OpenResult,
        open_request::Evidence, open_result::Result as Outcome,
        opening_service_client::OpeningServiceClient,
    },
    auth::PlateReading,
    biometric::FaceVector,
};
use serde_json::json;
use tonic::{Code, Streaming};

use crate::{eventually, matrix::channel, sending::resident_of_the_other};

on_both_databases!(
    one_that_hangs_delays_no_other_of_its_call,
    a_refusal_is_of_its_own_request_alone,
);

/// As the edge asks.
fn edge(mesh: &Mesh) -> OpeningServiceClient<MeshChannel> {
    let policy = Policy::built_in().expect("contracts");
    OpeningServiceClient::new(channel(
        &mesh.layout,
        "svc/edge-rest",
        "access-svc",
        &policy,
    ))
}

fn by_plate(token: &str) -> OpenRequest {
    OpenRequest {
        access_token: token.into(),
        device_kind: DeviceKind::Barrier.into(),
        device_id: BARRIER.into(),
        evidence: Some(Evidence::Plate(PlateReading {
            number: PLATE.into(),
            country: String::new(),
        })),
        body_digest: vec![0; 32],
        ..OpenRequest::default()
    }
}

fn by_face(token: &str, vector: &[f32]) -> OpenRequest {
    OpenRequest {
        device_kind: DeviceKind::Door.into(),
        device_id: DOOR.into(),
        evidence: Some(Evidence::Face(FaceVector {
            model: MODEL.into(),
            values: vector.iter().flat_map(|v| v.to_le_bytes()).collect(),
        })),
        ..by_plate(token)
    }
}

/// The results in the order in which they come.
async fn results(mut answers: Streaming<OpenBatchResponse>) -> Vec<OpenResult> {
    let mut results = Vec::new();
    while let Some(answer) = answers.message().await.expect("an answer") {
        results.extend(answer.results);
    }
    results
}

fn status_of(result: &OpenResult) -> CommandStatus {
    let Some(Outcome::Opened(opened)) = &result.result else {
        panic!("{result:?}");
    };
    let opening = opened.opening.as_ref().expect("an opening");
    opening.command.as_ref().expect("a command").status()
}

async fn one_that_hangs_delays_no_other_of_its_call(mesh: Mesh) {
    let person = resident_of_the_other(&mesh).await;
    let behaviour = json!({"mode": "hang", "partner": OTHER_PARTNER});
    mesh.sim.behave(&behaviour).await.expect("told");
    let hanging = by_face(&mesh.other_partner().token().await, &person.probe());
    let requests = vec![hanging, by_plate(&mesh.partner().token().await)];
    let request = OpenBatchRequest { requests };
    let answers = edge(&mesh).open_batch(request).await.expect("answers");
    let results = results(answers.into_inner()).await;
    let told: Vec<_> = results
        .iter()
        .map(|result| (result.index, status_of(result)))
        .collect();
    let wanted = [(1, CommandStatus::Delivered), (0, CommandStatus::Unknown)];
    assert_eq!(told, wanted);
}

async fn a_refusal_is_of_its_own_request_alone(mesh: Mesh) {
    let token = mesh.partner().token().await;
    let requests = vec![
        by_plate("no token"),
        OpenRequest {
            body_digest: vec![],
            ..by_plate(&token)
        },
        OpenRequest {
            device_id: "nowhere".into(),
            ..by_plate(&token)
        },
        by_plate(&token),
    ];
    let mut edge = edge(&mesh);
    let request = OpenBatchRequest { requests };
    let answers = edge.open_batch(request).await.expect("answers");
    let mut results = results(answers.into_inner()).await;
    results.sort_by_key(|result| result.index);
    let refused = results.iter().take(3).map(|result| match &result.result {
        Some(Outcome::Refusal(refusal)) => (Code::from(refusal.code), refusal.reason.as_str()),
        _ => panic!("{result:?}"),
    });
    let wanted = [
        (Code::Unauthenticated, "INVALID_TOKEN"),
        (Code::InvalidArgument, "INVALID_FIELD"),
        (Code::NotFound, "DEVICE_NOT_FOUND"),
    ];
    assert_eq!(refused.collect::<Vec<_>>(), wanted);
    assert_eq!(status_of(&results[3]), CommandStatus::Delivered);

    for count in [0, 65] {
        let requests = vec![by_plate(&token); count];
        let refused = edge.open_batch(OpenBatchRequest { requests }).await;
        let code = refused.expect_err("none, or too many").code();
        assert_eq!(code, Code::InvalidArgument, "{count}");
    }
}

/// Neither an opening nor a command may be sent again once it has been taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_at_their_age_fail_no_opening() {
    let mesh = Mesh::start_with(Database::Sqlite, |_, text| {
        text.replace("[server]\n", "[server]\nmax_connection_age_s = 1\n")
    })
    .await;
    let partner = mesh.partner();
    let token = partner.token().await;
    let until = Instant::now() + Duration::from_secs(4);
    let presses: Vec<_> = (0..16)
        .map(|_| {
            let (partner, token) = (partner.clone(), token.clone());
            tokio::spawn(async move {
                let mut opened = 0;
                while Instant::now() < until {
                    let (status, code) = press(partner.clone(), token.clone()).await;
                    // Nothing but the client's own hurry may stand in the way.
                    assert!(matches!(status, 200 | 429), "{status} {code}");
                    opened += usize::from(status == 200);
                }
                opened
            })
        })
        .collect();
    let mut opened = 0;
    for press in presses {
        opened += press.await.expect("pressed");
    }
    assert_eq!(mesh.commands_to(BARRIER).await.len(), opened, "each once");
}

/// Fewer than go to one partner at once.
const HANGING: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_under_way_when_access_svc_dies_may_have_opened() {
    let mut mesh = ProcessMesh::start(None).await;
    let partner = mesh.partner();
    let token = partner.token().await;
    mesh.sim
        .behave(&json!({"mode": "hang"}))
        .await
        .expect("told");
    let presses: Vec<_> = (0..HANGING)
        .map(|_| tokio::spawn(press(partner.clone(), token.clone())))
        .collect();
    eventually("all commands have left", async || {
        mesh.sim.commands().await.expect("commands").len() == HANGING
    })
    .await;
    mesh.processes.kill("access-svc").await.expect("killed");
    for answer in join_all(presses).await {
        assert_eq!(
            answer.expect("pressed"),
            (504, "partner_timeout".to_owned())
        );
    }
    mesh.processes.restart("access-svc").await.expect("started");
    mesh.sim.behave(&json!({"mode": "ok"})).await.expect("told");
    eventually("it opens again", async || {
        let (status, _) = press(partner.clone(), token.clone()).await;
        status == 200
    })
    .await;
    let commands = mesh.sim.commands().await.expect("commands");
    assert_eq!(commands.len(), HANGING + 1, "none went out again");
    mesh.processes.stop().await.expect("stopped");
}

async fn press(partner: Partner, token: String) -> (u16, String) {
    let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
    let (status, code) = answer.told();
    (status, code.to_owned())
}
