//! Keys that rotate under tokens that live.

use devmesh::{
    estate::{BARRIER, PLATE},
    operator::Operator,
};
use futures::future::join;
use mesh_tests::{Database, Mesh, Partner};
use propdev_proto::{
    access::{AuthEvent, AuthEventKind, ListAuthEventsRequest},
    auth::{AddClientSecretRequest, ListSigningKeysRequest, RotateSigningKeyRequest, SigningKey},
};

use crate::eventually;

fn kid(token: &str) -> String {
    let header = jsonwebtoken::decode_header(token).expect("a header");
    header.kid.expect("a kid")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_published_before_it_signs() {
    for algorithm in ["ES256", "EdDSA"] {
        let signing = format!(
            "[tokens.signing]\nalgorithm = \"{algorithm}\"\npublish_before_s = 1\n\
             allow_fast_rotation_for_development = true\n"
        );
        let mesh = Mesh::start_with(Database::Sqlite, |service, text| match service {
            "auth-svc" => text + &signing,
            _ => text,
        })
        .await;
        let partner = mesh.partner();
        let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
        let published = async || {
            let answer = partner.get("/.well-known/jwks.json", "").await;
            assert_eq!(answer.headers["cache-control"], "public, max-age=300");
            let keys = answer.body["keys"].as_array().expect("keys").clone();
            let kids: Vec<String> = keys
                .iter()
                .map(|key| key["kid"].as_str().expect("a kid").to_owned())
                .collect();
            assert!(
                keys.iter()
                    .all(|key| key["alg"] == algorithm && key.get("d").is_none())
            );
            kids
        };
        let old = partner.token().await;
        let mut keys = operator.signing_keys();
        let made = keys
            .rotate_signing_key(RotateSigningKeyRequest {})
            .await
            .expect("rotated")
            .into_inner()
            .key
            .expect("a key");
        assert_eq!(made.algorithm, algorithm);
        assert!(published().await.contains(&made.kid), "at once");
        eventually("the new key signs", async || {
            kid(&partner.token().await) == made.kid
        })
        .await;
        // The old one's tokens live on.
        assert_eq!(
            partner.open_by_plate(BARRIER, &old, PLATE).await.status,
            200
        );
        assert!(published().await.contains(&kid(&old)));
        let new = partner.token().await;
        assert_eq!(
            partner.open_by_plate(BARRIER, &new, PLATE).await.status,
            200
        );

        let listed = keys
            .list_signing_keys(ListSigningKeysRequest {})
            .await
            .expect("keys")
            .into_inner()
            .keys;
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].kid, made.kid);
        assert!(listed[0].published_until.is_none() && listed[1].published_until.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_waits_for_its_time_is_not_made_twice() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let mut keys = operator.signing_keys();
    let mut rotate = async || {
        let answer = keys.rotate_signing_key(RotateSigningKeyRequest {}).await;
        answer
            .expect("rotated")
            .into_inner()
            .key
            .expect("a key")
            .kid
    };
    assert_eq!(rotate().await, rotate().await);
}

/// Keys that sign for an hour, so many seconds after they are made.
fn hourly(publish_before_s: i64) -> impl Fn(&str, String) -> String {
    move |service, text| match service {
        "auth-svc" => format!(
            "{text}[tokens.signing]\nrotate_after_s = 3600\n\
             publish_before_s = {publish_before_s}\n\
             allow_fast_rotation_for_development = true\n"
        ),
        _ => text,
    }
}

async fn listed(operator: &Operator) -> Vec<SigningKey> {
    let request = ListSigningKeysRequest {};
    let answer = operator.signing_keys().list_signing_keys(request).await;
    answer.expect("keys").into_inner().keys
}

async fn is_published(partner: &Partner, kid: &str) -> bool {
    let answer = partner.get("/.well-known/jwks.json", "").await;
    let keys = answer.body["keys"].as_array().expect("keys");
    keys.iter().any(|key| key["kid"] == kid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_and_go_by_schedule() {
    let mesh = Mesh::start_with(Database::Sqlite, hourly(1)).await;
    let partner = mesh.partner();
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let first = kid(&partner.token().await);
    mesh.clock.advance(3_600);
    eventually("the next key signs", async || {
        kid(&partner.token().await) != first
    })
    .await;
    let token = partner.token().await;
    assert_eq!(
        partner.open_by_plate(BARRIER, &token, PLATE).await.status,
        200
    );
    assert!(
        is_published(&partner, &first).await,
        "its last token may live"
    );
    // The longest token has expired, whatever the clocks.
    mesh.clock.advance(3_600 + 180);
    eventually("the old key is dropped", async || {
        listed(&operator).await.iter().all(|key| key.kid != first)
    })
    .await;
    assert!(!is_published(&partner, &first).await);
    let token = partner.token().await;
    assert_eq!(
        partner.open_by_plate(BARRIER, &token, PLATE).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_rotate_together_make_one_key() {
    // By the services' clock, which the test moves on: two that ask at about
    // the same time find the key waiting.
    const WAITS_S: i64 = 5;
    let mut mesh = Mesh::start_with(Database::Postgres, hourly(WAITS_S)).await;
    let (partner, second) = (mesh.partner(), mesh.replicate().await);
    let operators = [mesh.layout.clone(), mesh.replica()]
        .map(|layout| Operator::connect(&layout, "operator").expect("an operator"));
    let [one, other] = &operators;
    let rotate = async |operator: &Operator| {
        let request = RotateSigningKeyRequest {};
        let answer = operator.signing_keys().rotate_signing_key(request).await;
        answer
            .expect("rotated")
            .into_inner()
            .key
            .expect("a key")
            .kid
    };
    for _ in 0..5 {
        let (made, also) = join(rotate(one), rotate(other)).await;
        assert_eq!(made, also);
        mesh.clock.advance(WAITS_S);
        eventually("both sign with it", async || {
            kid(&partner.token().await) == made && kid(&second.token().await) == made
        })
        .await;
    }
    // By schedule, each looks for itself.
    let last = kid(&partner.token().await);
    mesh.clock.advance(3_600 - WAITS_S);
    eventually("the next one is made", async || listed(one).await.len() > 6).await;
    mesh.clock.advance(WAITS_S);
    eventually("both sign with the next one", async || {
        let (mine, its) = (kid(&partner.token().await), kid(&second.token().await));
        mine == its && mine != last
    })
    .await;
    assert_eq!(listed(one).await.len(), 7);

    // Events are told in their order: whatever was told of keys is there then.
    let request = AddClientSecretRequest {
        client_id: mesh.estate.client_id.clone(),
        ..AddClientSecretRequest::default()
    };
    let mut clients = one.clients();
    clients.add_client_secret(request).await.expect("added");
    let events = async || -> Vec<AuthEvent> {
        let request = ListAuthEventsRequest {
            page_size: 1_000,
            ..ListAuthEventsRequest::default()
        };
        let answer = one.audit().list_auth_events(request).await;
        answer.expect("events").into_inner().events
    };
    eventually("all of it is told", async || {
        events()
            .await
            .iter()
            .any(|event| event.code == "secret_added")
    })
    .await;
    let mut told = events().await;
    told.retain(|event| event.kind() == AuthEventKind::SigningKeyChanged);
    assert_eq!(told.len(), 6, "{told:?}");
}
