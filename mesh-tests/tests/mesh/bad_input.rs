//! Each wrong thing gets a clear answer that names it, and harms nobody.

use devmesh::estate::{BARRIER, DOOR, MODEL, PLATE};
use futures::future::join_all;
use mesh_tests::{Database, Mesh, Partner, on_both_databases};
use reqwest::{Certificate, Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::eventually;

on_both_databases!(
    openings_with_wrong_bodies,
    token_requests_with_wrong_fields,
    forged_tokens
);

async fn openings_with_wrong_bodies(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let door = format!("/v1/doors/{DOOR}/open");
    let barrier = format!("/v1/barriers/{BARRIER}/open");
    let face = |vector: Value| json!({"face": {"model": MODEL, "vector": vector}});
    let mut endless = vec![0.1; 512];
    endless[3] = 1e39;
    for (path, body, expected) in [
        (&door, json!({}), (400, "evidence_required")),
        (
            &door,
            json!({"plate": {"number": PLATE}}),
            (400, "malformed_request"),
        ),
        (
            &barrier,
            face(json!(mesh.estate.resident.probe())),
            (400, "malformed_request"),
        ),
        (&door, face(json!([1.0, 2.0])), (422, "invalid_face_vector")),
        (
            &door,
            face(json!(vec![0.0; 512])),
            (422, "invalid_face_vector"),
        ),
        (&door, face(json!(endless)), (422, "invalid_face_vector")),
        (
            &door,
            face(json!("not base64!")),
            (422, "invalid_face_vector"),
        ),
        (
            &door,
            json!({"face": {"model": "other", "vector": [1.0]}}),
            (422, "unknown_face_model"),
        ),
        (
            &barrier,
            json!({"plate": {"number": "??"}}),
            (422, "invalid_plate"),
        ),
        (&door, json!([]), (400, "malformed_request")),
    ] {
        let answer = partner.post(path, &token, Some(&body)).await;
        assert_eq!(answer.told(), expected, "{path} {answer:?}");
        assert!(answer.body.get("opening_id").is_none());
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let raw = |content_type: &str, body: Vec<u8>| {
        let request = partner
            .request(Method::POST, &door)
            .bearer_auth(&token)
            .header("Content-Type", content_type)
            .body(body);
        Partner::send(request)
    };
    assert_eq!(
        raw("application/json", b"{".to_vec()).await.told(),
        (400, "malformed_request")
    );
    assert_eq!(
        raw("application/json", vec![0xff]).await.told(),
        (400, "malformed_request")
    );
    assert_eq!(
        raw("text/plain", b"{}".to_vec()).await.told(),
        (415, "unsupported_media_type")
    );
    let large = vec![b' '; 65 * 1024];
    assert_eq!(
        raw("application/json", large).await.told(),
        (413, "payload_too_large")
    );
    let wrong_method = Partner::send(partner.request(Method::GET, &door)).await;
    assert_eq!(wrong_method.told(), (405, "method_not_allowed"));
    // A subject token takes no evidence.
    let person = partner.face_token(&mesh.estate.resident.probe()).await;
    let body = face(json!(mesh.estate.resident.probe()));
    let conflict = partner.post(&door, &person, Some(&body)).await;
    assert_eq!(conflict.told(), (400, "conflicting_subject"));
    assert_eq!(partner.open_door(DOOR, &person).await.status, 200);
}

async fn token_requests_with_wrong_fields(mesh: Mesh) {
    let partner = mesh.partner();
    let probe = partner_sim::face::to_base64url(&mesh.estate.resident.probe());
    for (parameters, error) in [
        (vec![("scope", "door:close")], "invalid_scope"),
        (
            vec![("resource", "https://elsewhere.example")],
            "invalid_target",
        ),
        (vec![("face_vector", probe.as_str())], "invalid_request"),
        (
            vec![("face_vector", probe.as_str()), ("face_model", "other")],
            "invalid_request",
        ),
        (
            vec![("face_vector", "AAAA"), ("face_model", MODEL)],
            "invalid_request",
        ),
        (
            vec![("face_vector", "!"), ("face_model", MODEL)],
            "invalid_request",
        ),
        (
            vec![
                ("face_vector", probe.as_str()),
                ("face_model", MODEL),
                ("plate", PLATE),
            ],
            "invalid_request",
        ),
        (
            vec![
                ("face_vector", probe.as_str()),
                ("face_model", MODEL),
                ("scope", "barrier:open"),
            ],
            "invalid_scope",
        ),
        (vec![("plate", "not a plate at all")], "invalid_request"),
        (
            vec![("plate", PLATE), ("captured_at", "2026-11-24T00:00:00Z")],
            "invalid_grant",
        ),
        (
            vec![("plate", PLATE), ("captured_at", "now")],
            "invalid_request",
        ),
        (
            vec![("scope", "door:open"), ("scope", "door:open")],
            "invalid_request",
        ),
        (vec![("device_id", "no such device")], "invalid_request"),
    ] {
        let answer = partner.ask_token(&parameters).await;
        assert_eq!(answer.told(), (400, error), "{parameters:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let mut wrong = partner.clone();
    wrong.client_secret = "wrong".into();
    let refused = wrong.ask_token(&[]).await;
    assert_eq!(refused.told(), (401, "invalid_client"));
    assert!(refused.headers.contains_key("www-authenticate"));
    wrong.client_id = "nobody".into();
    let unknown = wrong.ask_token(&[]).await;
    assert_eq!(
        (refused.status, &refused.body),
        (unknown.status, &unknown.body)
    );
}

async fn forged_tokens(mesh: Mesh) {
    let partner = mesh.partner();
    let good = partner.token().await;
    let parts: Vec<&str> = good.split('.').collect();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoieCJ9";
    let mut flipped = good.clone().into_bytes();
    let last = flipped.len() - 3;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    for forged in [
        String::from_utf8(flipped).expect("text"),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        "x.y.z".into(),
        "x".repeat(20_000),
    ] {
        let answer = partner.open_by_plate(BARRIER, &forged, PLATE).await;
        assert_eq!(answer.told(), (401, "invalid_token"), "{answer:?}");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    assert_eq!(
        partner.open_by_plate(BARRIER, &good, PLATE).await.status,
        200
    );
}

/// They go inside together, and none fails for another's size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_token_requests_spoil_nobody_elses() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let partner = mesh.partner();
    let ask = |body: Value| {
        let request = partner
            .request(Method::POST, "/oauth2/token")
            .basic_auth(&partner.client_id, Some(&partner.client_secret));
        Partner::send(request.json(&body))
    };
    let large = |vector: Vec<u8>, padding: &str| {
        ask(json!({
            "grant_type": "client_credentials",
            "scope": padding,
            "face_model": MODEL,
            "face_vector": vector,
        }))
    };
    let padding = "x".repeat(1_000);
    let too_large = (0..32).map(|_| large(vec![1; 30_000], ""));
    let largest = (0..64).map(|_| large(vec![1; 1_024], &padding));
    let good = (0..8).map(|_| partner.ask_token(&[]));
    let faces = (0..8).map(|_| async {
        let probe = mesh.estate.resident.probe();
        partner.ask_face_token(&probe).await
    });
    let (too_large, largest, good, faces) = tokio::join!(
        join_all(too_large),
        join_all(largest),
        join_all(good),
        join_all(faces)
    );
    for answer in too_large {
        assert_eq!(answer.told(), (400, "invalid_request"), "{answer:?}");
    }
    for answer in largest {
        assert_eq!(answer.told(), (400, "invalid_scope"), "{answer:?}");
    }
    for answer in good.iter().chain(&faces) {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_and_harms_nobody() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let ca = std::fs::read(mesh.layout.ca()).expect("the CA");
    let ca = Certificate::from_pem(&ca).expect("a CA");
    let builder = || Client::builder().no_proxy().tls_certs_only([ca.clone()]);
    // HTTP/2 may end the stream over a body; over HTTP/1.1 the answer comes.
    for (http, over_body) in [(builder().http1_only(), 413), (builder(), 0)] {
        let partner = mesh.partner().over(http.build().expect("a client"));
        let token = partner.token().await;
        let ask = || {
            partner
                .request(Method::POST, "/oauth2/token")
                .basic_auth(&partner.client_id, Some(&partner.client_secret))
        };
        let grant = [("grant_type", "client_credentials")];
        for size in [40_000, 1_000_000] {
            let large = "x".repeat(size);
            let open = partner
                .request(Method::POST, &format!("/v1/doors/{DOOR}/open"))
                .bearer_auth(&large);
            assert!([0, 431].contains(&status(open).await), "{size}");
            let asked = ask().header("x-large", &large).form(&grant[..]);
            assert!([0, 431].contains(&status(asked).await), "{size}");
            let secret = partner
                .request(Method::POST, "/oauth2/token")
                .basic_auth(&partner.client_id, Some(&large))
                .form(&grant[..]);
            assert!([0, 431].contains(&status(secret).await), "{size}");
        }
        for size in [70_000, 1_000_000] {
            let large = "x".repeat(size);
            let form = [grant[0], ("face_vector", large.as_str())];
            let asked = ask().form(&form[..]);
            assert!([over_body, 413].contains(&status(asked).await), "{size}");
            for path in ["/oauth2/introspect", "/oauth2/revoke"] {
                let told = partner
                    .request(Method::POST, path)
                    .basic_auth(&partner.client_id, Some(&partner.client_secret))
                    .form(&[("token", large.as_str())][..]);
                assert!(
                    [over_body, 413].contains(&status(told).await),
                    "{path} {size}"
                );
            }
        }
        eventually("the next request is served", async || {
            status(ask().form(&grant[..])).await == 200
        })
        .await;
        let opened = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(opened.status, 200, "{opened:?}");
    }
}

/// Of the answer; 0 where the connection was closed over the request.
async fn status(request: RequestBuilder) -> u16 {
    let answer = request.send().await;
    answer.map_or(0, |response| response.status().as_u16())
}
