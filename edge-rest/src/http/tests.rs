//! The whole stack of layers over services made up for the test.

mod browsers;
mod document;

use std::sync::Mutex;

use async_trait::async_trait;
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use propdev_proto::{
    access::{
        GetEgressSettingsResponse, GetOpeningRequest, GetOpeningResponse, OpenRequest,
        OpenResponse, RecordCommandResultsRequest, RecordCommandResultsResponse,
        RecordCredentialOpeningsRequest, RecordCredentialOpeningsResponse, open_request::Evidence,
    },
    auth::{
        GetKeySetResponse, IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenRequest,
        IssueTokenResponse, RevokeTokenRequest, RevokeTokenResponse,
    },
};
use serde_json::Value;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::*;

const LONG: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Stand {
    opens: Mutex<Vec<OpenRequest>>,
}

#[async_trait]
impl Inside for Stand {
    async fn issue_token(&self, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        assert!(request.scope != "panic", "as the test asked");
        assert!(mesh::context::CallContext::current().is_some());
        Ok(IssueTokenResponse {
            access_token: "t".into(),
            expires_in: 60,
            scope: "door:open".into(),
        })
    }

    async fn introspect_token(
        &self,
        request: IntrospectTokenRequest,
    ) -> Result<IntrospectTokenResponse, Status> {
        let active = request.token == "good";
        Ok(IntrospectTokenResponse {
            active,
            claims: if active { r#"{"sub":"s"}"# } else { "" }.into(),
        })
    }

    async fn revoke_token(&self, _: RevokeTokenRequest) -> Result<RevokeTokenResponse, Status> {
        Ok(RevokeTokenResponse {})
    }

    async fn report_refused(&self, _: u64) -> Result<(), Status> {
        Ok(())
    }

    async fn key_set(&self) -> Result<GetKeySetResponse, Status> {
        Ok(GetKeySetResponse {
            jwks: r#"{"keys":[]}"#.into(),
            algorithms: vec![],
        })
    }

    async fn open(&self, request: OpenRequest) -> Result<OpenResponse, Status> {
        if request.device_id == "panic" {
            panic!("as the test asked");
        }
        if request.device_id == "hang" {
            std::future::pending::<()>().await;
        }
        let status = match &request.evidence {
            Some(Evidence::BodyFault(fault)) => {
                mesh::error::status(Code::InvalidArgument, &fault.reason, "internals")
            }
            _ => mesh::error::status(Code::NotFound, "DEVICE_NOT_FOUND", "internals"),
        };
        self.opens.lock().expect("a lock").push(request);
        Err(status)
    }

    async fn opening(&self, _: GetOpeningRequest) -> Result<GetOpeningResponse, Status> {
        Err(Status::permission_denied("internals"))
    }

    async fn record_credential_openings(
        &self,
        request: RecordCredentialOpeningsRequest,
    ) -> Result<RecordCredentialOpeningsResponse, Status> {
        Ok(RecordCredentialOpeningsResponse {
            accepted: u32::try_from(request.events.len()).expect("few"),
            duplicates: 0,
        })
    }

    async fn record_command_results(
        &self,
        _: RecordCommandResultsRequest,
    ) -> Result<RecordCommandResultsResponse, Status> {
        Err(mesh::error::status(
            Code::NotFound,
            "COMMAND_NOT_FOUND",
            "internals",
        ))
    }

    async fn egress_settings(&self, _: &str) -> Result<GetEgressSettingsResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

struct Answer {
    response: Response<()>,
    body: Value,
}

impl Answer {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn header(&self, name: &str) -> &str {
        self.response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = router
        .clone()
        .oneshot(request)
        .await
        .expect("infallible")
        .into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    Answer {
        response: Response::from_parts(parts, ()),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

fn edge() -> (Arc<Stand>, Router) {
    let stand = Arc::new(Stand::default());
    let config = crate::config::sample();
    let edge = Edge::new(stand.clone(), &config, LONG);
    (stand, router(edge))
}

fn post(path: &str, media: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header("content-type", media)
        .header("authorization", "Bearer abc")
        .body(body.into())
        .expect("a request")
}

fn token(body: &str) -> Request<Body> {
    Request::post("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.to_owned().into())
        .expect("a request")
}

const CLIENT: &str = "grant_type=client_credentials&client_id=a&client_secret=b";

#[tokio::test]
async fn a_token_is_answered_and_kept_by_nobody() {
    let (_, router) = edge();
    let answer = ask(&router, token(CLIENT)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    assert_eq!(
        answer.body,
        serde_json::json!({"access_token":"t","token_type":"Bearer","expires_in":60,"scope":"door:open"})
    );
    let answer = ask(&router, token("grant_type=client_credentials")).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.body["error"], "invalid_client");
    assert!(
        answer
            .header("www-authenticate")
            .starts_with("Basic realm=")
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let large = format!("{CLIENT}&x={}", "x".repeat(body::LIMIT));
    let answer = ask(&router, token(&large)).await;
    assert_eq!(
        (answer.status(), answer.body["error"].as_str()),
        (413, Some("invalid_request"))
    );
}

#[tokio::test]
async fn a_panic_is_one_requests_alone() {
    let (_, router) = edge();
    let answer = ask(
        &router,
        post("/v1/doors/panic/open", "application/json", "{}"),
    )
    .await;
    assert_eq!(
        (answer.status(), answer.body["code"].as_str()),
        (500, Some("internal"))
    );
    assert!(answer.body["request_id"].is_string());
    let answer = ask(&router, token(&format!("{CLIENT}&scope=panic"))).await;
    assert_eq!(
        (answer.status(), answer.body["error"].as_str()),
        (500, Some("server_error"))
    );
    assert_eq!(ask(&router, token(CLIENT)).await.status(), 200);
}

#[tokio::test]
async fn problems_carry_the_request_id_and_no_internal_text() {
    let (_, router) = edge();
    let mut request = post("/v1/doors/d/open", "application/json", "");
    request
        .headers_mut()
        .insert("x-request-id", "given-1".parse().expect("a value"));
    let answer = ask(&router, request).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("x-request-id"), "given-1");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(
        answer
            .header("strict-transport-security")
            .starts_with("max-age=")
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.body,
        serde_json::json!({
            "type": "https://edge.example/problems/device_not_found",
            "title": "Device not found",
            "status": 404,
            "detail": "There is no such device.",
            "code": "device_not_found",
            "request_id": "given-1",
        })
    );
    let mut request = post("/v1/doors/d/open", "application/json", "");
    request
        .headers_mut()
        .insert("x-request-id", "not acceptable".parse().expect("a value"));
    assert_ne!(
        ask(&router, request).await.header("x-request-id"),
        "not acceptable"
    );
}

#[tokio::test]
async fn body_faults_go_inward_and_come_back_with_their_words() {
    let (stand, router) = edge();
    let answer = ask(
        &router,
        post("/v1/doors/d/open", "application/json", "{\"x\":1}"),
    )
    .await;
    assert_eq!(
        (answer.status(), answer.body["code"].as_str()),
        (400, Some("malformed_request"))
    );
    assert!(
        answer.body["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("member other than"))
    );
    let answer = ask(&router, post("/v1/doors/d/open", "text/plain", "{}")).await;
    assert_eq!(answer.status(), 415);
    let answer = ask(
        &router,
        post("/v1/doors/a%20b/open", "application/json", ""),
    )
    .await;
    assert_eq!(answer.status(), 404);
    let answer = ask(&router, post("/v1/doors/%ff/open", "application/json", "")).await;
    assert_eq!(answer.status(), 404);
    let answer = ask(&router, post("/v1/doors//open", "application/json", "")).await;
    assert_eq!(answer.body["code"], "device_not_found");
    let opens = stand.opens.lock().expect("a lock");
    assert_eq!(opens.len(), 5);
    assert_eq!(
        (opens[2].device_id.as_str(), opens[3].device_id.as_str()),
        ("", "")
    );
    assert_eq!(opens[0].body_digest.len(), 32);
}

#[tokio::test]
async fn sizes_are_bounded() {
    let (_, router) = edge();
    let large = vec![b' '; body::LIMIT + 1];
    let answer = ask(
        &router,
        post("/v1/doors/d/open", "application/json", large.clone()),
    )
    .await;
    assert_eq!(
        (answer.status(), answer.body["code"].as_str()),
        (413, Some("payload_too_large"))
    );
    // A stream that announces no length is cut as well.
    let chunks =
        futures::stream::iter((0..1_000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 4096])));
    let answer = ask(
        &router,
        post(
            "/v1/doors/d/open",
            "application/json",
            Body::from_stream(chunks),
        ),
    )
    .await;
    assert_eq!(answer.status(), 413);
    let mut request = post("/v1/doors/d/open", "application/json", "");
    let value = "x".repeat(33 * 1024).parse().expect("a value");
    request.headers_mut().insert("x-large", value);
    assert_eq!(ask(&router, request).await.status(), 431);
    let path = "/v1/webhooks/intercom/key-openings";
    let event = r#"{"key_id":"k","opened_at":"2026-11-24T06:00:00Z"}"#;
    let batch = format!(
        r#"{{"events":[{event}],"pad":"{}"}}"#,
        "x".repeat(body::LIMIT)
    );
    let answer = ask(&router, post(path, "application/json", batch)).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(
        answer.body,
        serde_json::json!({"accepted": 1, "duplicates": 0})
    );
    let answer = ask(
        &router,
        post(path, "application/json", vec![b' '; body::BATCH_LIMIT + 1]),
    )
    .await;
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn a_request_ends_in_time_whatever_it_waits_for() {
    let config = crate::config::sample();
    let short = Duration::from_millis(200);
    let router = router(Edge::new(Arc::new(Stand::default()), &config, short));
    let endless = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    for request in [
        post("/v1/doors/hang/open", "application/json", "{}"),
        post("/v1/doors/d/open", "application/json", endless()),
    ] {
        let answer = tokio::time::timeout(LONG, ask(&router, request));
        let answer = answer.await.expect("in time");
        assert_eq!(
            (answer.status(), answer.body["code"].as_str()),
            (503, Some("unavailable"))
        );
    }
    let mut request = token("");
    *request.body_mut() = endless();
    let answer = tokio::time::timeout(LONG, ask(&router, request));
    let answer = answer.await.expect("in time");
    assert_eq!(
        (answer.status(), answer.body["error"].as_str()),
        (503, Some("temporarily_unavailable"))
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let (_, router) = edge();
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
    for path in ["/", "/v1", "/v1/doors/a/b/open", "/oauth2/authorize"] {
        let answer = ask(&router, get(path)).await;
        assert_eq!(
            (answer.status(), answer.body["code"].as_str()),
            (404, Some("not_found")),
            "{path}"
        );
    }
    for path in ["/oauth2/token", "/v1/doors/d/open", "/v1/webhooks/commands"] {
        let answer = ask(&router, get(path)).await;
        assert_eq!(answer.status(), 405, "{path}");
        assert_eq!(answer.body["code"], "method_not_allowed");
        assert_eq!(answer.header("allow"), "POST");
    }
    let answer = ask(&router, post("/.well-known/jwks.json", "a/b", "")).await;
    assert_eq!((answer.status(), answer.header("allow")), (405, "GET,HEAD"));
}

#[tokio::test]
async fn metadata_names_what_works_and_may_be_kept() {
    let (_, router) = edge();
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let answer = ask(
            &router,
            Request::get(path).body(Body::empty()).expect("a request"),
        )
        .await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.body["issuer"], "https://edge.example");
        assert_eq!(
            answer.body["token_endpoint"],
            "https://edge.example/oauth2/token"
        );
        assert!(answer.body.get("authorization_endpoint").is_none());
    }
    let request = Request::get("/.well-known/jwks.json")
        .body(Body::empty())
        .expect("a request");
    let answer = ask(&router, request).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(answer.body, serde_json::json!({"keys": []}));
}

#[tokio::test]
async fn tokens_are_told_of_and_ended() {
    let (_, router) = edge();
    let request = |path: &str, token: &str| {
        Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(format!(
                "client_id=a&client_secret=b&token={token}"
            )))
            .expect("a request")
    };
    let answer = ask(&router, request("/oauth2/introspect", "good")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.body,
        serde_json::json!({"active": true, "token_type": "Bearer", "sub": "s"})
    );
    let answer = ask(&router, request("/oauth2/introspect", "bad")).await;
    assert_eq!(answer.body, serde_json::json!({"active": false}));
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let answer = ask(&router, request(path, "")).await;
        assert_eq!(answer.body["error"], "invalid_request", "{path}");
    }
    let answer = ask(&router, request("/oauth2/revoke", "any")).await;
    assert_eq!((answer.status(), answer.body), (200, Value::Null));
}

#[tokio::test]
async fn an_address_that_hurries_is_told_when_to_come_back() {
    let mut config = crate::config::sample();
    config.limits.address_requests_per_second = 1.try_into().expect("not zero");
    config.limits.address_burst = 1.try_into().expect("not zero");
    let router = router(Edge::new(Arc::new(Stand::default()), &config, LONG));
    let from = |mut request: Request<Body>, address: &str| {
        request.extensions_mut().insert(crate::caller::Connection {
            address: address.parse().expect("an address"),
            certificates: Arc::new([]),
        });
        request
    };
    let first = ask(&router, from(token(CLIENT), "192.0.2.1")).await;
    assert_eq!(first.status(), 200);
    let second = ask(&router, from(token(CLIENT), "192.0.2.1")).await;
    assert_eq!(
        (second.status(), second.body["error"].as_str()),
        (429, Some("slow_down"))
    );
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(second.header("ratelimit"), "\"address\";r=0;t=1");
    assert_eq!(second.header("ratelimit-policy"), "\"address\";q=1;w=1");
    let problem = ask(
        &router,
        from(
            post("/v1/doors/d/open", "application/json", ""),
            "192.0.2.1",
        ),
    )
    .await;
    assert_eq!(
        (problem.status(), problem.body["code"].as_str()),
        (429, Some("rate_limited"))
    );
    assert_eq!(problem.header("retry-after"), "1");
    assert_eq!(
        ask(&router, from(token(CLIENT), "192.0.2.2"))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_token_is_needed_and_a_refusal_of_the_mesh_is_our_fault() {
    let (_, router) = edge();
    let request = Request::post("/v1/doors/d/open")
        .body(Body::empty())
        .expect("a request");
    let answer = ask(&router, request).await;
    assert_eq!(
        (answer.status(), answer.header("www-authenticate")),
        (401, "Bearer")
    );
    let request = Request::get("/v1/openings/x")
        .header("authorization", "Bearer abc")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(ask(&router, request).await.status(), 500);
    let answer = ask(
        &router,
        post("/v1/webhooks/commands", "application/json", "{}"),
    )
    .await;
    assert_eq!(answer.body["code"], "command_not_found");
}
