//! Two of everything over one PostgreSQL.

use devmesh::{
    estate::{BARRIER, DOOR, PLATE},
    operator::Operator,
};
use futures::future::join_all;
use mesh_tests::{ClientKey, Database, Mesh};
use propdev_proto::{
    access::{EraseResidentRequest, SetResidentStateRequest},
    auth::{Client, UpdateClientRequest},
};
use prost_types::FieldMask;
use serde_json::json;

use crate::within_the_promise;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_agree() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    let first = mesh.partner();
    let second = mesh.replicate().await;

    // On the key: what one signs, the other takes.
    let kid = |token: &str| jsonwebtoken::decode_header(token).expect("a header").kid;
    let (one, two) = (first.token().await, second.token().await);
    assert_eq!(kid(&one), kid(&two));
    assert_eq!(second.open_by_plate(BARRIER, &one, PLATE).await.status, 200);
    assert_eq!(first.open_by_plate(BARRIER, &two, PLATE).await.status, 200);

    // On what is revoked.
    let answer = first.post_form("/oauth2/revoke", &[("token", &one)]).await;
    assert_eq!(answer.status, 200);
    assert!(!second.is_active(&one).await);
    for replica in [&first, &second] {
        within_the_promise("a revoked token is refused everywhere", async || {
            replica.open_by_plate(BARRIER, &one, PLATE).await.told() == (401, "invalid_token")
        })
        .await;
    }

    // On what is used: a hundred simultaneous openings with one token, half of
    // them at each, give one command.
    let token = first.face_token(&mesh.estate.resident.probe()).await;
    let openings = (0..100).map(|i| {
        let replica = if i % 2 == 0 { &first } else { &second };
        replica.open_door(DOOR, &token)
    });
    let answers = join_all(openings).await;
    let count = |told: (u16, &str)| answers.iter().filter(|a| a.told() == told).count();
    assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 1);
    assert_eq!(count((401, "token_already_used")), 99);
    assert_eq!(mesh.commands_to(DOOR).await.len(), 1);
    assert!(!second.is_active(&token).await);

    // On evidence: one probe, a token from each, one opening.
    let probe = mesh.estate.resident.probe();
    let tokens = [
        first.face_token(&probe).await,
        second.face_token(&probe).await,
    ];
    assert_eq!(second.open_door(DOOR, &tokens[0]).await.status, 200);
    assert_eq!(
        first.open_door(DOOR, &tokens[1]).await.told(),
        (401, "token_already_used")
    );

    // On idempotency keys.
    let client = first.token().await;
    let open = async |replica: &mesh_tests::Partner| {
        let request = replica
            .request(
                reqwest::Method::POST,
                &format!("/v1/barriers/{BARRIER}/open"),
            )
            .bearer_auth(&client)
            .header("Idempotency-Key", "one-press")
            .json(&json!({"plate": {"number": PLATE}}));
        mesh_tests::Partner::send(request).await
    };
    let presses = join_all((0..20).map(|i| open(if i % 2 == 0 { &first } else { &second }))).await;
    let id = presses[0].text("opening_id");
    assert!(
        presses
            .iter()
            .all(|a| a.status == 200 && a.text("opening_id") == id)
    );

    // On assertions.
    let key = ClientKey::generate("k");
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let request = UpdateClientRequest {
        client_id: mesh.estate.client_id.clone(),
        client: Some(Client {
            jwks: key.jwks(),
            ..Client::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["jwks".into()],
        }),
    };
    operator
        .clients()
        .update_client(request)
        .await
        .expect("updated");
    let assertion = key.assertion(&mesh.estate.client_id, &first.edge);
    let parameters = [
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", &assertion),
    ];
    within_the_promise("the other replica knows the key", async || {
        let probe = key.assertion(&mesh.estate.client_id, &first.edge);
        let parameters = [
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &probe),
        ];
        second.ask_token_unauthenticated(&parameters).await.status == 200
    })
    .await;
    let uses = (0..20).map(|i| {
        let replica = if i % 2 == 0 { &first } else { &second };
        replica.ask_token_unauthenticated(&parameters)
    });
    let answers = join_all(uses).await;
    assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 1);
}

/// The same pictures, retried at another replica in another order: each writes
/// them down in one statement, and neither waits for the other for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_lock_each_other_out_of_nothing() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    let first = mesh.partner();
    let second = mesh.replicate().await;
    for _ in 0..8 {
        let probes: Vec<_> = (0..32).map(|_| mesh.estate.resident.probe()).collect();
        let forwards = probes.iter().map(|probe| first.ask_face_token(probe));
        let backwards = probes
            .iter()
            .rev()
            .map(|probe| second.ask_face_token(probe));
        let answers = tokio::join!(join_all(forwards), join_all(backwards));
        for answer in answers.0.iter().chain(&answers.1) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        // Webhooks that a partner sends twice.
        let token = first.token().await;
        let mut events: Vec<_> = (0..200)
            .map(|_| {
                let id = uuid::Uuid::new_v4().to_string();
                json!({"key_id": "k", "opened_at": "2026-11-24T06:00:00Z", "event_id": id})
            })
            .collect();
        let body = json!({"events": events});
        events.reverse();
        let reversed = json!({"events": events});
        let path = "/v1/webhooks/intercom/key-openings";
        let (one, other) = tokio::join!(
            first.post(path, &token, Some(&body)),
            second.post(path, &token, Some(&reversed))
        );
        let accepted = |answer: &mesh_tests::Answer| {
            assert_eq!(answer.status, 202, "{answer:?}");
            answer.body["accepted"].as_u64().expect("a number")
        };
        assert_eq!(accepted(&one) + accepted(&other), 200, "each once");
    }
}

/// The change is made at one replica, the token tried at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suspended_and_the_erased_are_so_everywhere() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    let (first, second) = (mesh.partner(), mesh.replicate().await);
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let (unpaid, leaver) = (&mesh.estate.unpaid, &mesh.estate.leaver);

    let token = first.face_token(&unpaid.probe()).await;
    assert!(second.is_active(&token).await);
    let request = SetResidentStateRequest {
        resident_id: unpaid.resident_id.clone(),
        suspended: true,
    };
    let mut residents = operator.residents();
    residents
        .set_resident_state(request)
        .await
        .expect("suspended");
    within_the_promise("the suspended one's token is inactive", async || {
        !second.is_active(&token).await
    })
    .await;
    assert_eq!(
        second.open_door(DOOR, &token).await.told(),
        (403, "resident_suspended")
    );

    let token = first.face_token(&leaver.probe()).await;
    assert!(second.is_active(&token).await);
    let request = EraseResidentRequest {
        resident_id: leaver.resident_id.clone(),
        ..EraseResidentRequest::default()
    };
    let mut residents = privacy.residents();
    residents.erase_resident(request).await.expect("erased");
    within_the_promise("the erased one's token is inactive", async || {
        !second.is_active(&token).await
    })
    .await;
    assert_eq!(
        second.open_door(DOOR, &token).await.told(),
        (403, "subject_not_recognized")
    );
    assert_eq!(
        second.ask_face_token(&leaver.probe()).await.told(),
        (400, "invalid_grant")
    );
}
