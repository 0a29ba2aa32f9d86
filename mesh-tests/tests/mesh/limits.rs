//! Who hurries, and who guesses.

use std::{net::IpAddr, time::Instant};

use devmesh::{
    estate::{BARRIER, DOOR, DOOR2, OTHER_DOOR, PLATE},
    operator::Operator,
};
use futures::future::join_all;
use mesh_tests::{Answer, Database, Mesh, Partner, ProcessMesh, on_both_databases};
use propdev_proto::auth::{Client, ClientLimits, UpdateClientRequest};
use prost_types::FieldMask;

use crate::eventually;

on_both_databases!(
    a_client_that_hurries_is_told_when_to_come_back,
    guessing_locks_nobody_out,
    one_person_before_one_camera_closes_one_door,
    many_faces_at_once_are_no_way_around,
    captured_pictures_are_misses_and_retries_are_none,
);

async fn set_limits(mesh: &Mesh, limits: ClientLimits) {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let request = UpdateClientRequest {
        client_id: mesh.estate.client_id.clone(),
        client: Some(Client {
            limits: Some(limits),
            ..Client::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["limits".into()],
        }),
    };
    operator
        .clients()
        .update_client(request)
        .await
        .expect("updated");
}

fn is_paced(answer: &Answer, name: &str) {
    assert_eq!(answer.status, 429, "{answer:?}");
    let header = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
    assert!(header("retry-after").parse::<u32>().expect("seconds") >= 1);
    assert!(header("ratelimit").starts_with(&format!("\"{name}\";r=0;t=")));
    assert!(header("ratelimit-policy").starts_with(&format!("\"{name}\";q=")));
}

async fn a_client_that_hurries_is_told_when_to_come_back(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    set_limits(
        &mesh,
        ClientLimits {
            requests_per_second: 1,
            burst: 3,
            ..ClientLimits::default()
        },
    )
    .await;
    let asked = join_all((0..30).map(|_| partner.ask_token(&[]))).await;
    let limited = asked.into_iter().find(|answer| answer.status == 429);
    let limited = limited.expect("thirty at once are too many");
    is_paced(&limited, "client");
    assert_eq!(limited.body["error"], "slow_down");
    assert_eq!(limited.headers["cache-control"], "no-store");
    // The other partner is none the slower.
    assert_eq!(mesh.other_partner().ask_token(&[]).await.status, 200);

    // The next one after a refusal may be served: a second is soon over.
    let mut limited = None;
    eventually("openings are counted too", async || {
        let openings = (0..8).map(|_| partner.open_by_plate(BARRIER, &token, PLATE));
        let mut answers = join_all(openings).await.into_iter();
        limited = answers.find(|answer| answer.status == 429);
        limited.is_some()
    })
    .await;
    let limited = limited.expect("a refusal");
    is_paced(&limited, "client");
    assert_eq!(limited.body["code"], "rate_limited");
}

async fn guessing_locks_nobody_out(mesh: Mesh) {
    let partner = mesh.partner();
    // The guesser shares its address, as behind one router.
    assert_eq!(partner.ask_token(&[]).await.status, 200);
    let mut guesser = partner.clone();
    let mut slowed = 0;
    for i in 0..60 {
        guesser.client_secret = format!("guess-{i}");
        let answer = guesser.ask_token(&[]).await;
        match answer.status {
            401 => assert_eq!(answer.body["error"], "invalid_client"),
            429 => {
                slowed += 1;
                is_paced(&answer, "authentication");
            }
            other => panic!("{other}"),
        }
    }
    assert!(slowed > 0, "nothing slows the guesser");
    assert_eq!(
        partner.ask_token(&[]).await.status,
        200,
        "the rightful client"
    );
    // From the same address an unknown client is told the same.
    guesser.client_id = "nobody".into();
    eventually("it is told to wait", async || {
        let answer = guesser.ask_token(&[]).await;
        assert!([401, 429].contains(&answer.status), "{answer:?}");
        answer.status == 429
    })
    .await;
}

/// The same client from another address of this machine.
fn from(mesh: &Mesh, partner: &Partner, address: [u8; 4]) -> Partner {
    let ca = std::fs::read(mesh.layout.ca()).expect("the CA");
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca).expect("a CA")])
        .local_address(IpAddr::from(address))
        .build();
    partner.over(http.expect("a client"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guesser_is_not_heard_at_their_own_address() {
    // One wrong secret a minute: a thirtieth of what is allowed.
    let mesh = Mesh::start_with(Database::Sqlite, |service, text| match service {
        "auth-svc" => text + "[limits]\nreplicas = 30\n",
        _ => text,
    })
    .await;
    let partner = mesh.partner();
    let mut guesser = from(&mesh, &partner, [127, 0, 0, 2]);
    guesser.client_secret = "wrong".into();
    assert_eq!(guesser.ask_token(&[]).await.told(), (401, "invalid_client"));
    guesser.client_secret.clone_from(&partner.client_secret);
    is_paced(&guesser.ask_token(&[]).await, "authentication");
    // The rightful client is somewhere else; another has nothing to do with it.
    assert_eq!(partner.ask_token(&[]).await.status, 200);
    let other = from(&mesh, &mesh.other_partner(), [127, 0, 0, 2]);
    assert_eq!(other.ask_token(&[]).await.status, 200);
}

async fn one_person_before_one_camera_closes_one_door(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let limits = ClientLimits {
        misses_per_minute: 100,
        device_misses_per_minute: 3,
        ..ClientLimits {
            requests_per_second: 1_000,
            burst: 1_000,
            ..ClientLimits::default()
        }
    };
    set_limits(&mesh, limits).await;
    let stranger = || devmesh::estate::probe(mesh.estate.stranger);
    // A miss is forgiven after twenty seconds, just then perhaps.
    let mut blocked = None;
    eventually("that door asks to wait", async || {
        let answer = partner.open_by_face(DOOR, &token, &stranger()).await;
        assert!([403, 429].contains(&answer.status), "{answer:?}");
        let known = mesh.estate.resident.probe();
        let answer = partner.open_by_face(DOOR, &token, &known).await;
        let is_blocked = answer.status == 429;
        blocked = is_blocked.then_some(answer);
        is_blocked
    })
    .await;
    let blocked = blocked.expect("a refusal");
    is_paced(&blocked, "device-faces");
    assert_eq!(blocked.body["code"], "rate_limited");
    assert!(
        blocked.body.get("opening_id").is_none(),
        "nothing was decided"
    );
    let other = partner
        .open_by_face(DOOR2, &token, &mesh.estate.resident.probe())
        .await;
    assert_eq!(other.status, 200, "{other:?}");

    // The same at the token endpoint, where the device is known.
    let evidence = |vector: &[f32]| partner_sim::face::to_base64url(vector);
    let ask = async |vector: Vec<f32>, device: &str| {
        let (model, vector) = (devmesh::estate::MODEL, evidence(&vector));
        partner
            .ask_token(&[
                ("face_model", model),
                ("face_vector", &vector),
                ("device_id", device),
            ])
            .await
    };
    let mut blocked = None;
    eventually("that door asks to wait", async || {
        ask(stranger(), DOOR).await;
        let answer = ask(mesh.estate.resident.probe(), DOOR).await;
        let is_blocked = answer.status == 429;
        blocked = is_blocked.then_some(answer);
        is_blocked
    })
    .await;
    is_paced(&blocked.expect("a refusal"), "device-faces");
    assert_eq!(ask(mesh.estate.resident.probe(), DOOR2).await.status, 200);
}

async fn many_faces_at_once_are_no_way_around(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let limits = ClientLimits {
        requests_per_second: 1_000,
        burst: 1_000,
        misses_per_minute: 1_000,
        device_misses_per_minute: 3,
    };
    set_limits(&mesh, limits).await;
    let stranger = || devmesh::estate::probe(mesh.estate.stranger);
    // Three, and one more for each twenty seconds that it took.
    let most = |started: Instant| 3 + started.elapsed().as_secs() as usize / 20;

    let started = Instant::now();
    let answers = join_all((0..40).map(|_| async {
        let vector = partner_sim::face::to_base64url(&stranger());
        let parameters = [
            ("face_model", devmesh::estate::MODEL),
            ("face_vector", vector.as_str()),
            ("device_id", DOOR),
        ];
        partner.ask_token(&parameters).await
    }))
    .await;
    let searched = answers.iter().filter(|answer| answer.status == 400).count();
    let limited = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(searched + limited, answers.len(), "{answers:?}");
    assert!((1..=most(started)).contains(&searched), "{searched}");

    eventually("access-svc knows the limits", async || {
        let answer = partner.open_by_face(DOOR2, &token, &stranger()).await;
        answer.status == 429
    })
    .await;
    let started = Instant::now();
    let answers = join_all((0..40).map(|_| async {
        let vector = stranger();
        partner.open_by_face(DOOR, &token, &vector).await
    }))
    .await;
    let searched = answers.iter().filter(|answer| answer.status == 403).count();
    let limited = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(searched + limited, answers.len(), "{answers:?}");
    assert!((1..=most(started)).contains(&searched), "{searched}");
}

async fn captured_pictures_are_misses_and_retries_are_none(mesh: Mesh) {
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    let (token, others) = (partner.token().await, other.token().await);
    let limits = ClientLimits {
        requests_per_second: 1_000,
        burst: 1_000,
        misses_per_minute: 100,
        device_misses_per_minute: 3,
    };
    set_limits(&mesh, limits).await;
    let captured = mesh.estate.resident.probe();
    let seen = other.open_by_face(OTHER_DOOR, &others, &captured).await;
    assert_eq!(seen.told(), (403, "subject_not_recognized"));
    eventually("that door asks to wait", async || {
        let answer = partner.open_by_face(DOOR, &token, &captured).await;
        assert!([403, 429].contains(&answer.status), "{answer:?}");
        answer.status == 429
    })
    .await;

    let own = mesh.estate.resident.probe();
    let opened = partner.open_by_face(DOOR2, &token, &own).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    for _ in 0..6 {
        let retry = partner.open_by_face(DOOR2, &token, &own).await;
        assert_eq!(retry.told(), (403, "subject_not_recognized"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_hurries_is_told_when_to_come_back() {
    let mesh = Mesh::start_with(Database::Sqlite, |_, text| {
        text.replace(
            "address_requests_per_second = 1000",
            "address_requests_per_second = 1",
        )
        .replace("address_burst = 2000", "address_burst = 50")
    })
    .await;
    let partner = mesh.partner();
    let many = (0..100).map(|_| partner.get("/.well-known/jwks.json", ""));
    let answers = join_all(many).await;
    let limited = answers.iter().find(|answer| answer.status == 429);
    is_paced(limited.expect("a hundred at once are too many"), "address");
}

/// What the chart's alert watches is what is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misses_are_counted_where_an_alert_sees_them() {
    let mesh = ProcessMesh::start(None).await;
    let partner = mesh.partner();
    let token = partner.token().await;
    let stranger = || devmesh::estate::probe(mesh.estate.stranger);
    for _ in 0..3 {
        assert_eq!(partner.ask_face_token(&stranger()).await.status, 400);
    }
    for _ in 0..2 {
        let answer = partner.open_by_face(DOOR, &token, &stranger()).await;
        assert_eq!(answer.status, 403);
    }
    partner.face_token(&mesh.estate.resident.probe()).await;
    let known = mesh.estate.resident.probe();
    assert_eq!(partner.open_by_face(DOOR, &token, &known).await.status, 200);
    let alert = include_str!("../../../charts/access-mesh/templates/prometheusrule.yaml");
    for (service, name, misses) in [
        ("auth-svc", "auth_face_misses_total", 3.0),
        ("access-svc", "access_face_misses_total", 2.0),
    ] {
        let counted = mesh.counted(service, name).await;
        assert_eq!(counted, misses, "{name}");
        let label = format!("client_id=\"{}\"", partner.client_id);
        let metrics = mesh.metrics(service).await;
        let of_client = |line: &str| line.starts_with(name) && line.contains(&label);
        assert!(metrics.lines().any(of_client), "{name}");
        assert!(alert.contains(&format!("\"{name}\"")), "{name}");
    }
    mesh.processes.stop().await.expect("stopped");
}
