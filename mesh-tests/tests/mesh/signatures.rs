//! Signed webhooks: signed by the standard's own library, over HTTPS.

use mesh::{Clock, SystemClock};
use mesh_tests::{Answer, Database, Mesh, Partner, on_both_databases};
use propdev_proto::{
    access::{AuthEventKind, ListAuthEventsRequest},
    auth::{
        GetClientRequest, RemoveWebhookSecretRequest, RotateWebhookSecretRequest,
        SetWebhookSecretRequest,
    },
};
use prost_types::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tonic::Code;
use uuid::Uuid;

use crate::{clients::operator, eventually, within_the_promise};

const KEYS: &str = "/v1/webhooks/intercom/key-openings";
const FOBS: &str = "/v1/webhooks/barrier/fob-openings";
const COMMANDS: &str = "/v1/webhooks/commands";

on_both_databases!(
    a_client_with_a_secret_must_sign,
    two_secrets_live_while_they_change,
    what_is_done_to_secrets_is_told,
);

type Headers = Vec<(&'static str, String)>;

fn now() -> i64 {
    SystemClock.now().as_second()
}

fn sign(secret: &str, at: i64, body: &str) -> Headers {
    let id = format!("msg_{}", Uuid::new_v4().simple());
    let webhook = Webhook::new(secret).expect("a secret");
    let signature = webhook.sign(&id, at, body.as_bytes()).expect("signed");
    vec![
        ("webhook-id", id),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", signature),
    ]
}

async fn tell(partner: &Partner, path: &str, token: &str, body: &str, signed: Headers) -> Answer {
    let mut request = partner
        .request(Method::POST, path)
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(body.to_owned());
    for (name, value) in signed {
        request = request.header(name, value);
    }
    Partner::send(request).await
}

fn key_opening() -> String {
    let event = Uuid::new_v4().to_string();
    // As a partner's own serialiser might write it: the bytes are what counts.
    format!(
        "{{ \"key_id\":\"k\",  \"opened_at\":\"2026-11-24T06:00:00Z\", \"event_id\":\"{event}\" }}\n"
    )
}

async fn set(mesh: &Mesh) -> String {
    let request = SetWebhookSecretRequest {
        client_id: mesh.estate.client_id.clone(),
    };
    let mut clients = operator(mesh).clients();
    let reply = clients.set_webhook_secret(request).await.expect("set");
    reply.into_inner().webhook_secret
}

fn rotation(mesh: &Mesh, others_expire_at: Option<i64>) -> RotateWebhookSecretRequest {
    RotateWebhookSecretRequest {
        client_id: mesh.estate.client_id.clone(),
        others_expire_at: others_expire_at.map(|seconds| Timestamp { seconds, nanos: 0 }),
    }
}

const REFUSED: (u16, &str) = (401, "invalid_signature");

async fn a_client_with_a_secret_must_sign(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let told = tell(&partner, KEYS, &token, &key_opening(), vec![]).await;
    assert_eq!(told.status, 202, "{told:?}");

    let secret = set(&mesh).await;
    within_the_promise("an unsigned call is refused", async || {
        tell(&partner, KEYS, &token, &key_opening(), vec![])
            .await
            .told()
            == REFUSED
    })
    .await;
    let command = json!({"command_id": Uuid::now_v7(), "opening_id": Uuid::now_v7(),
        "status": "opened", "at": "2026-11-24T06:00:00Z"});
    for (path, body, wanted) in [
        (KEYS, key_opening(), (202, "")),
        (FOBS, key_opening().replace("key_id", "fob_id"), (202, "")),
        (COMMANDS, command.to_string(), (404, "command_not_found")),
    ] {
        let unsigned = tell(&partner, path, &token, &body, vec![]).await;
        assert_eq!(unsigned.told(), REFUSED, "{path}");
        assert_eq!(unsigned.headers["www-authenticate"], "Bearer");
        let signed = sign(&secret, now(), &body);
        let signed = tell(&partner, path, &token, &body, signed).await;
        assert_eq!(signed.told(), wanted, "{path} {signed:?}");
    }
    // A batch is signed as a whole, and goes inside twice.
    let events: Vec<Value> = (0..1_000)
        .map(|i| {
            json!({"key_id": "k".repeat(128), "opened_at": "2026-11-24T06:00:00Z",
            "device_id": "d".repeat(128), "event_id": format!("{i:0>128}")})
        })
        .collect();
    let batch = json!({"events": events}).to_string();
    let signed = sign(&secret, now(), &batch);
    let told = tell(&partner, KEYS, &token, &batch, signed).await;
    assert_eq!(told.body, json!({"accepted": 1_000, "duplicates": 0}));

    let body = key_opening();
    let good = || sign(&secret, now(), &body);
    let altered = |name: &str, value: &str| -> Headers {
        let changed = good().into_iter().map(|(header, old)| {
            let new = if header == name {
                value.to_owned()
            } else {
                old
            };
            (header, new)
        });
        changed.collect()
    };
    let stranger = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (what, headers) in [
        ("stale", sign(&secret, now() - 310, &body)),
        ("of the future", sign(&secret, now() + 400, &body)),
        ("a stranger's", sign(stranger, now(), &body)),
        ("another body's", sign(&secret, now(), &key_opening())),
        ("another id's", altered("webhook-id", "msg_other")),
        (
            "another time's",
            altered("webhook-timestamp", &(now() - 60).to_string()),
        ),
        ("no signature", altered("webhook-signature", "v1,")),
        ("half", good().into_iter().skip(1).collect()),
    ] {
        let refused = tell(&partner, KEYS, &token, &body, headers).await;
        assert_eq!(refused.told(), REFUSED, "{what}");
    }
    // None of them was stored; a signature a few minutes old is good.
    let late = sign(&secret, now() - 240, &body);
    let told = tell(&partner, KEYS, &token, &body, late).await;
    assert_eq!(told.body, json!({"accepted": 1, "duplicates": 0}));

    the_order_of_checks_stays(&mesh, &secret).await;
    let other = mesh.other_partner();
    let token = other.token().await;
    let told = tell(&other, KEYS, &token, &key_opening(), vec![]).await;
    assert_eq!(told.status, 202, "another client need not sign: {told:?}");
}

/// Token, scope, signature, body.
async fn the_order_of_checks_stays(mesh: &Mesh, secret: &str) {
    let partner = mesh.partner();
    let body = key_opening();
    let signed = || sign(secret, now(), &body);
    let refused = tell(&partner, KEYS, "forged", &body, signed()).await;
    assert_eq!(refused.told(), (401, "invalid_token"));
    let narrow = partner.ask_token(&[("scope", "door:open")]).await;
    let narrow = narrow.text("access_token");
    let refused = tell(&partner, KEYS, &narrow, &body, vec![]).await;
    assert_eq!(refused.told(), (403, "insufficient_scope"));
    let token = partner.token().await;
    for bad in ["{", "[]", r#"{"key_id":"k"}"#] {
        let refused = tell(&partner, KEYS, &token, bad, vec![]).await;
        assert_eq!(refused.told(), REFUSED, "{bad}");
        let refused = tell(&partner, KEYS, &token, bad, sign(secret, now(), bad)).await;
        assert!([400, 422].contains(&refused.status), "{bad}: {refused:?}");
    }
}

/// How a call is answered that each of these has signed.
async fn signed_by(partner: &Partner, token: &str, secrets: &[&str]) -> u16 {
    let (body, id, at) = (key_opening(), Uuid::new_v4().to_string(), now());
    let sign = |secret: &&str| {
        let webhook = Webhook::new(secret).expect("a secret");
        webhook.sign(&id, at, body.as_bytes()).expect("signed")
    };
    let signatures: Vec<String> = secrets.iter().map(sign).collect();
    let headers = vec![
        ("webhook-id", id.clone()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ];
    tell(partner, KEYS, token, &body, headers).await.status
}

async fn two_secrets_live_while_they_change(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let mut clients = operator(&mesh).clients();
    let absent = clients.rotate_webhook_secret(rotation(&mesh, None)).await;
    let absent = absent.expect_err("nothing to rotate");
    assert_eq!(absent.code(), Code::FailedPrecondition);

    let old = set(&mesh).await;
    let old = old.as_str();
    let twice = SetWebhookSecretRequest {
        client_id: mesh.estate.client_id.clone(),
    };
    let twice = clients.set_webhook_secret(twice).await;
    let twice = twice.expect_err("there is one");
    assert_eq!(twice.code(), Code::FailedPrecondition);
    let rotated = clients.rotate_webhook_secret(rotation(&mesh, None)).await;
    let rotated = rotated.expect("rotated").into_inner();
    let new = rotated.webhook_secret.as_str();
    assert_ne!(new, old);
    within_the_promise("the new secret signs", async || {
        signed_by(&partner, &token, &[new]).await == 202
    })
    .await;
    assert_eq!(signed_by(&partner, &token, &[old]).await, 202);
    assert_eq!(signed_by(&partner, &token, &[new, old]).await, 202);
    let third = clients.rotate_webhook_secret(rotation(&mesh, None)).await;
    let third = third.expect_err("a third");
    assert_eq!(third.code(), Code::FailedPrecondition);

    let client = rotated.client.as_ref().expect("the client");
    let secrets = client.webhook_secrets.clone();
    assert_eq!(secrets.len(), 2);
    let remove = |secret_id: &str| RemoveWebhookSecretRequest {
        client_id: mesh.estate.client_id.clone(),
        secret_id: secret_id.to_owned(),
    };
    let removed = clients.remove_webhook_secret(remove(&secrets[0].secret_id));
    removed.await.expect("removed");
    within_the_promise("the removed one signs nothing", async || {
        signed_by(&partner, &token, &[old]).await == 401
    })
    .await;
    assert_eq!(
        signed_by(&partner, &token, &[old, new]).await,
        202,
        "one of two is enough"
    );

    // The others may be given an end, or none at all.
    let ended = clients.rotate_webhook_secret(rotation(&mesh, Some(now() - 10)));
    let last = ended.await.expect("rotated").into_inner().webhook_secret;
    within_the_promise("the ended one signs nothing", async || {
        signed_by(&partner, &token, &[new]).await == 401
    })
    .await;
    assert_eq!(signed_by(&partner, &token, &[last.as_str()]).await, 202);

    let removed = clients.remove_webhook_secret(remove("")).await;
    let client = removed.expect("removed").into_inner().client;
    assert!(client.expect("the client").webhook_secrets.is_empty());
    within_the_promise("nobody need sign any more", async || {
        tell(&partner, KEYS, &token, &key_opening(), vec![])
            .await
            .status
            == 202
    })
    .await;
}

async fn what_is_done_to_secrets_is_told(mesh: Mesh) {
    let operator = operator(&mesh);
    let mut clients = operator.clients();
    let client_id = mesh.estate.client_id.clone();
    let secret = set(&mesh).await;
    clients
        .rotate_webhook_secret(rotation(&mesh, None))
        .await
        .expect("rotated");
    let request = GetClientRequest {
        client_id: client_id.clone(),
    };
    let client = clients.get_client(request).await.expect("the client");
    let told = format!("{client:?}");
    assert!(!told.contains(secret.trim_start_matches("whsec_")));
    let removal = RemoveWebhookSecretRequest {
        client_id: client_id.clone(),
        secret_id: String::new(),
    };
    clients
        .remove_webhook_secret(removal)
        .await
        .expect("removed");
    for code in [
        "webhook_secret_set",
        "webhook_secret_rotated",
        "webhook_secret_removed",
    ] {
        eventually(code, async || {
            let request = ListAuthEventsRequest {
                page_size: 1_000,
                client_id: client_id.clone(),
                ..ListAuthEventsRequest::default()
            };
            let events = operator.audit().list_auth_events(request).await;
            events
                .expect("events")
                .into_inner()
                .events
                .iter()
                .any(|event| {
                    event.kind() == AuthEventKind::ClientChanged
                        && event.code == code
                        && event.actor.starts_with("operator/operator/")
                })
        })
        .await;
    }
}

/// The secret is set at one replica, the call made at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_counts_on_every_replica() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    let second = mesh.replicate().await;
    let token = second.token().await;
    let secret = set(&mesh).await;
    within_the_promise("the other replica refuses", async || {
        tell(&second, KEYS, &token, &key_opening(), vec![])
            .await
            .told()
            == REFUSED
    })
    .await;
    let body = key_opening();
    let signed = sign(&secret, now(), &body);
    let told = tell(&second, KEYS, &token, &body, signed).await;
    assert_eq!(told.status, 202, "{told:?}");
}
