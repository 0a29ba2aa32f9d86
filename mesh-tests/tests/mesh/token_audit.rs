//! What the audit learns of tokens and clients.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use devmesh::{
    estate::{BARRIER, DOOR, PLATE},
    operator::Operator,
};
use futures::{StreamExt, future::join_all, stream};
use mesh_tests::{Answer, Database, Mesh, ProcessMesh, on_both_databases};
use propdev_proto::{
    access::{AuthEvent, AuthEventKind, ListAuthEventsRequest},
    auth::{
        AddClientSecretRequest, Client, ClientLimits, ListClientsRequest, RegisterClientRequest,
        SetClientStateRequest, UpdateClientRequest,
    },
};
use prost_types::FieldMask;
use sea_orm::{ConnectionTrait, Statement};
use tonic::Code;

use crate::{database, eventually, within};

on_both_databases!(
    every_issue_and_refusal_is_told,
    nothing_changes_that_cannot_be_told,
);

async fn events(operator: &Operator) -> Vec<AuthEvent> {
    let request = ListAuthEventsRequest {
        page_size: 1_000,
        ..ListAuthEventsRequest::default()
    };
    let answer = operator.audit().list_auth_events(request).await;
    answer.expect("events").into_inner().events
}

fn jti(token: &str) -> String {
    let payload = token.split('.').nth(1).expect("a payload");
    let json = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let claims: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    claims["jti"].as_str().expect("a jti").to_owned()
}

async fn every_issue_and_refusal_is_told(mesh: Mesh) {
    let partner = mesh.partner();
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let token = partner.token().await;
    let face = partner.face_token(&mesh.estate.resident.probe()).await;
    let plate = partner.plate_token(PLATE).await;
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    assert_eq!(partner.ask_face_token(&stranger).await.status, 400);
    assert_eq!(partner.ask_token(&[("scope", "x")]).await.status, 400);
    partner
        .post_form("/oauth2/revoke", &[("token", &token)])
        .await;
    let request = AddClientSecretRequest {
        client_id: mesh.estate.client_id.clone(),
        ..AddClientSecretRequest::default()
    };
    let added = operator
        .clients()
        .add_client_secret(request)
        .await
        .expect("added")
        .into_inner();

    let of_client = mesh.estate.client_id.clone();
    let wanted = [
        (AuthEventKind::TokenIssued, "", "", jti(&token)),
        (AuthEventKind::TokenIssued, "", "face", jti(&face)),
        (AuthEventKind::TokenIssued, "", "plate", jti(&plate)),
        (
            AuthEventKind::TokenRefused,
            "invalid_grant",
            "face",
            String::new(),
        ),
        (
            AuthEventKind::TokenRefused,
            "invalid_scope",
            "",
            String::new(),
        ),
        (AuthEventKind::TokenRevoked, "", "", jti(&token)),
        (
            AuthEventKind::ClientChanged,
            "registered",
            "",
            String::new(),
        ),
        (
            AuthEventKind::ClientChanged,
            "secret_added",
            "",
            String::new(),
        ),
    ];
    eventually("all of it is told", async || {
        let told = events(&operator).await;
        wanted.iter().all(|(kind, code, means, jti)| {
            told.iter().any(|event| {
                event.kind() == *kind
                    && event.code == *code
                    && event.means == *means
                    && event.jti == *jti
                    && event.client_id == of_client
            })
        })
    })
    .await;
    let told = events(&operator).await;
    let by_face = told
        .iter()
        .find(|event| event.means == "face" && event.code.is_empty());
    assert_eq!(by_face.expect("the event").audit_pseudonym.len(), 36);
    let changed = told.iter().find(|event| event.code == "secret_added");
    assert_eq!(changed.expect("the event").actor, "operator/operator/dev");
    let text = format!("{told:?}");
    for secret in [
        mesh.estate.client_secret.as_str(),
        &added.client_secret,
        &token,
        &face,
        PLATE,
        &mesh.estate.resident.resident_id,
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
    let ids: std::collections::HashSet<_> = told.iter().map(|event| &event.event_id).collect();
    assert_eq!(ids.len(), told.len(), "nothing is told twice");
}

async fn nothing_changes_that_cannot_be_told(mesh: Mesh) {
    let partner = mesh.partner();
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let mut clients = operator.clients();
    let all = async || {
        let request = ListClientsRequest::default();
        let answer = operator.clients().list_clients(request).await;
        answer.expect("clients").into_inner().clients
    };
    let (token, before) = (partner.token().await, all().await);
    let register = RegisterClientRequest {
        partner_id: mesh.estate.partner_id.clone(),
        name: "another".into(),
        site_ids: vec![mesh.estate.site_id.clone()],
        scopes: vec!["door:open".into()],
        ..RegisterClientRequest::default()
    };
    let add = AddClientSecretRequest {
        client_id: mesh.estate.client_id.clone(),
        ..AddClientSecretRequest::default()
    };
    let disable = SetClientStateRequest {
        client_id: mesh.estate.client_id.clone(),
        disabled: true,
    };
    let form = [("token", token.as_str())];

    let db = database(&mesh.layout, "auth-svc").await;
    let rename = async |from: &str, to: &str| {
        let statement = format!("ALTER TABLE {from} RENAME TO {to}");
        db.execute_unprepared(&statement).await.expect("renamed");
    };
    rename("outbox", "outbox_away").await;
    let refused = [
        clients.register_client(register).await.map(drop),
        clients.add_client_secret(add.clone()).await.map(drop),
        clients.set_client_state(disable).await.map(drop),
    ];
    for refused in refused {
        assert_eq!(refused.expect_err("untold").code(), Code::Unavailable);
    }
    let answer = partner.post_form("/oauth2/revoke", &form).await;
    assert_eq!(answer.told(), (503, "temporarily_unavailable"));
    rename("outbox_away", "outbox").await;

    assert_eq!(all().await, before);
    assert!(partner.is_active(&token).await);
    clients.add_client_secret(add).await.expect("added");
    assert_eq!(partner.post_form("/oauth2/revoke", &form).await.status, 200);
    eventually("both are told", async || {
        let told = events(&operator).await;
        let is_told = |kind| told.iter().any(|event| event.kind() == kind);
        told.iter().any(|event| event.code == "secret_added")
            && is_told(AuthEventKind::TokenRevoked)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_cause_is_summed_up() {
    let mut mesh = ProcessMesh::start(None).await;
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let mut guesser = mesh.partner();
    guesser.client_secret = "wrong".into();
    for _ in 0..7 {
        assert_eq!(guesser.ask_token(&[]).await.status, 401);
    }
    guesser.client_id = "nobody".into();
    for _ in 0..5 {
        assert_eq!(guesser.ask_token(&[]).await.status, 401);
    }
    // A minute's summary is also told at the end.
    mesh.processes.terminate("auth-svc").await.expect("ended");
    mesh.processes.restart("auth-svc").await.expect("restarted");
    // A name nobody registered is a stranger's and is not written down.
    let wanted = BTreeMap::from([(String::new(), 5), (mesh.estate.client_id.clone(), 7)]);
    eventually("all of it is told", async || {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for event in events(&operator).await {
            if event.kind() == AuthEventKind::AuthenticationFailed {
                assert_eq!(event.code, "invalid_client");
                *counts.entry(event.client_id).or_default() += event.count;
            }
        }
        counts == wanted
    })
    .await;
    mesh.processes.stop().await.expect("stopped");
}

/// By the edge for an address, by auth-svc and by access-svc for a client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_limits_refuse_is_summed_up() {
    let mut mesh = ProcessMesh::start_with(Database::Sqlite, |service, text| match service {
        "edge-rest" => text
            .replace(
                "address_requests_per_second = 1000",
                "address_requests_per_second = 1",
            )
            .replace("address_burst = 2000", "address_burst = 600"),
        _ => text,
    })
    .await;
    let partner = mesh.partner();
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let token = partner.token().await;
    let request = UpdateClientRequest {
        client_id: mesh.estate.client_id.clone(),
        client: Some(Client {
            limits: Some(ClientLimits {
                requests_per_second: 1,
                burst: 3,
                ..ClientLimits::default()
            }),
            ..Client::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["limits".into()],
        }),
    };
    let mut clients = operator.clients();
    clients.update_client(request).await.expect("updated");
    let refused_by = |answer: &Answer, quota: &str| {
        let header = answer.headers.get("ratelimit");
        let told = header.map_or("", |header| header.to_str().expect("text"));
        answer.status == 429 && told.starts_with(&format!("\"{quota}\""))
    };
    let answers = join_all((0..20).map(|_| partner.ask_token(&[]))).await;
    let of_client = answers.iter().filter(|answer| refused_by(answer, "client"));
    let mut of_client = of_client.count();
    assert!(of_client > 0, "twenty at once are too many");
    let mut of_openings = 0;
    eventually("openings are refused too", async || {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        of_openings += usize::from(refused_by(&answer, "client"));
        of_openings == 3
    })
    .await;
    of_client += of_openings;
    let calls = (0..1_000).map(|_| partner.get("/.well-known/jwks.json", ""));
    let answers: Vec<Answer> = stream::iter(calls).buffer_unordered(50).collect().await;
    let of_address = answers
        .iter()
        .filter(|answer| refused_by(answer, "address"));
    let of_address = of_address.count();
    assert!(of_address > 0, "a thousand are too many");

    // A minute's summary is also told at the end: the edge's to auth-svc.
    mesh.processes.terminate("edge-rest").await.expect("ended");
    for service in ["auth-svc", "access-svc"] {
        mesh.processes.terminate(service).await.expect("ended");
        mesh.processes.restart(service).await.expect("restarted");
    }
    let summed = async |client_id: &str| {
        let mut told = events(&operator).await;
        told.retain(|event| event.kind() == AuthEventKind::RateLimited);
        assert!(told.iter().all(|event| event.code == "rate_limited"));
        told.retain(|event| event.client_id == client_id);
        told.iter().map(|event| event.count as usize).sum::<usize>()
    };
    eventually("all of it is told", async || {
        let counted = (summed(&partner.client_id).await, summed("").await);
        counted == (of_client, of_address)
    })
    .await;
    mesh.processes.stop().await.expect("stopped");
}

/// auth-svc tells its audit to access-svc: what it could not tell yet outlives
/// a crash of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_outbox_outlives_a_crash() {
    let mut mesh = ProcessMesh::start(None).await;
    let partner = mesh.partner();
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let before = events(&operator).await.len();
    let token = partner.face_token(&mesh.estate.resident.probe()).await;
    mesh.processes.kill("access-svc").await.expect("killed");
    // Refused after the client has proved itself: durable before the answer.
    for _ in 0..5 {
        let answer = partner.ask_token(&[("scope", "x")]).await;
        assert_eq!(answer.told(), (400, "invalid_scope"));
    }
    mesh.processes.kill("auth-svc").await.expect("killed");
    mesh.processes.restart("auth-svc").await.expect("restarted");
    mesh.processes
        .restart("access-svc")
        .await
        .expect("restarted");
    eventually("all of it is told", async || {
        let told = events(&operator).await;
        let refused = told
            .iter()
            .filter(|event| event.code == "invalid_scope")
            .count();
        let issued = told.iter().filter(|event| event.means == "face").count();
        told.len() > before && refused == 5 && issued == 1
    })
    .await;
    assert_eq!(partner.open_door(DOOR, &token).await.status, 200);
    mesh.processes.stop().await.expect("stopped");
}

/// Nobody waits for it, and a crash a second later loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_only_token_is_written_down_within_a_second() {
    let mut mesh = ProcessMesh::start(None).await;
    let partner = mesh.partner();
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let db = database(&mesh.layout, "auth-svc").await;
    // Nobody takes it out of the outbox.
    mesh.processes.kill("access-svc").await.expect("killed");
    let jti = jti(&partner.token().await);
    within(Duration::from_secs(1), "it is in the outbox", async || {
        let query = "SELECT payload FROM outbox";
        let query = Statement::from_string(db.get_database_backend(), query);
        let rows = db.query_all_raw(query).await.expect("the outbox");
        rows.iter().any(|row| {
            let payload: Vec<u8> = row.try_get("", "payload").expect("bytes");
            payload
                .windows(jti.len())
                .any(|part| part == jti.as_bytes())
        })
    })
    .await;
    mesh.processes.kill("auth-svc").await.expect("killed");
    for service in ["auth-svc", "access-svc"] {
        mesh.processes.restart(service).await.expect("restarted");
    }
    eventually("it is told", async || {
        events(&operator).await.iter().any(|event| event.jti == jti)
    })
    .await;
    mesh.processes.stop().await.expect("stopped");
}
