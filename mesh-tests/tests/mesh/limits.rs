//! Who hurries, and who guesses.

use devmesh::{
    estate::{BARRIER, DOOR, DOOR2, OTHER_DOOR, PLATE},
    operator::Operator,
};
use mesh_tests::{Answer, Database, Mesh, on_both_databases};
use propdev_proto::auth::{Client, ClientLimits, UpdateClientRequest};
use prost_types::FieldMask;

use crate::eventually;

on_both_databases!(
    a_client_that_hurries_is_told_when_to_come_back,
    guessing_locks_nobody_out,
    one_person_before_one_camera_closes_one_door,
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
    let mut limited = None;
    for _ in 0..30 {
        let answer = partner.ask_token(&[]).await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("thirty are too many");
    is_paced(&limited, "client");
    assert_eq!(limited.body["error"], "slow_down");
    assert_eq!(limited.headers["cache-control"], "no-store");
    // The other partner is none the slower.
    assert_eq!(mesh.other_partner().ask_token(&[]).await.status, 200);

    eventually("openings are counted too", async || {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        answer.told() == (429, "rate_limited")
    })
    .await;
    let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
    is_paced(&answer, "client");
}

async fn guessing_locks_nobody_out(mesh: Mesh) {
    let partner = mesh.partner();
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
    assert_eq!(guesser.ask_token(&[]).await.status, 429);
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
    eventually("that door asks to wait", async || {
        let answer = partner.open_by_face(DOOR, &token, &stranger()).await;
        assert!([403, 429].contains(&answer.status), "{answer:?}");
        answer.status == 429
    })
    .await;
    let blocked = partner
        .open_by_face(DOOR, &token, &mesh.estate.resident.probe())
        .await;
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
    eventually("that door asks to wait", async || {
        ask(stranger(), DOOR).await.status == 429
    })
    .await;
    is_paced(
        &ask(mesh.estate.resident.probe(), DOOR).await,
        "device-faces",
    );
    assert_eq!(ask(mesh.estate.resident.probe(), DOOR2).await.status, 200);
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
    let answers = futures::future::join_all(many).await;
    let limited = answers.iter().find(|answer| answer.status == 429);
    is_paced(limited.expect("a hundred at once are too many"), "address");
}
