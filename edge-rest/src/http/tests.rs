//! The whole stack of layers over services made up for the test.

mod browsers;
mod document;
mod limits;
mod oauth;

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
