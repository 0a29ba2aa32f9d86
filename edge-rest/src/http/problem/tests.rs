use axum::response::IntoResponse;
use mesh::error;
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::config::BaseUrl;

/// The contract's table, and a few of the edge's own for what no route of the
/// contract answers: whoever changes a row changes what partners rely on.
const CONTRACT: &[(u16, &str)] = &[
    (400, "malformed_request"),
    (400, "conflicting_subject"),
    (400, "evidence_required"),
    (401, "invalid_token"),
    (401, "token_already_used"),
    (401, "invalid_signature"),
    (403, "insufficient_scope"),
    (403, "subject_not_recognized"),
    (403, "lockdown"),
    (403, "device_disabled"),
    (403, "resident_suspended"),
    (403, "no_grant"),
    (403, "outside_schedule"),
    (403, "service_unpaid"),
    (404, "device_not_found"),
    (404, "opening_not_found"),
    (404, "command_not_found"),
    (404, "not_found"),
    (405, "method_not_allowed"),
    (409, "in_progress"),
    (413, "payload_too_large"),
    (415, "unsupported_media_type"),
    (422, "invalid_face_vector"),
    (422, "unknown_face_model"),
    (422, "invalid_plate"),
    (422, "idempotency_mismatch"),
    (422, "invalid_event"),
    (429, "rate_limited"),
    (431, "headers_too_large"),
    (500, "internal"),
    (502, "partner_rejected"),
    (503, "unavailable"),
    (504, "partner_timeout"),
];

#[test]
fn the_table_is_the_contract() {
    let table: Vec<(u16, &str)> = TABLE
        .iter()
        .map(|entry| (entry.status.as_u16(), entry.code))
        .collect();
    assert_eq!(table, CONTRACT);
}

#[test]
fn every_reason_finds_its_row_and_tells_no_internal_text() {
    for entry in TABLE {
        let status = error::status_with(
            Code::Unknown,
            &entry.reason(),
            "secret internals",
            [("opening_id", "0198".into())],
        );
        let problem = Problem::of_status(&status);
        assert!(problem.is(entry), "{}", entry.code);
        let mut response = problem.into_response();
        assert_eq!(response.status(), entry.status);
        let headers = response.headers();
        assert_eq!(
            headers.contains_key("www-authenticate"),
            entry.status.as_u16() == 401
        );
        assert_eq!(
            headers.contains_key("retry-after"),
            matches!(entry.status.as_u16(), 429 | 503)
        );
        let base = BaseUrl::try_from("https://edge.example".to_owned()).expect("a URL");
        Problem::render(&mut response, &base, "r-1");
        let body =
            futures::executor::block_on(http_body_util::BodyExt::collect(response.into_body()))
                .expect("a body")
                .to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "type": format!("https://edge.example/problems/{}", entry.code),
                "title": entry.title,
                "status": entry.status.as_u16(),
                "detail": entry.detail,
                "code": entry.code,
                "request_id": "r-1",
                "opening_id": "0198",
            })
        );
    }
}

#[test]
fn unknown_reasons_degrade_to_the_code_and_a_mesh_refusal_is_ours() {
    for (code, wanted) in [
        (Code::Unauthenticated, INVALID_TOKEN),
        (Code::PermissionDenied, INSUFFICIENT_SCOPE),
        (Code::NotFound, NOT_FOUND),
        (Code::InvalidArgument, MALFORMED_REQUEST),
        (Code::Unavailable, UNAVAILABLE),
        (Code::DeadlineExceeded, UNAVAILABLE),
        (Code::ResourceExhausted, UNAVAILABLE),
        (Code::Cancelled, UNAVAILABLE),
        (Code::Internal, INTERNAL),
        (Code::DataLoss, INTERNAL),
    ] {
        let status = error::status(code, "OF_TOMORROW", "x");
        assert!(Problem::of_status(&status).is(wanted), "{code:?}");
    }
    assert!(Problem::of_status(&Status::permission_denied("x")).is(INTERNAL));
    assert!(Problem::of_status(&Status::invalid_argument("x")).is(INTERNAL));
    assert!(Problem::of_status(&Status::unavailable("x")).is(UNAVAILABLE));
    assert!(Entry::of_denial("of_tomorrow").code == "insufficient_scope");
    assert!(Entry::of_denial("no_grant").code == "no_grant");
}

#[test]
fn rate_limits_carry_their_headers() {
    let status = error::status_with(
        Code::ResourceExhausted,
        "RATE_LIMITED",
        "x",
        [
            ("retry_after", "7".into()),
            ("ratelimit", "\"c\";r=0;t=7".into()),
        ],
    );
    let response = Problem::of_status(&status).into_response();
    assert_eq!(response.status().as_u16(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(response.headers()["ratelimit"], "\"c\";r=0;t=7");
}

#[test]
fn bad_events_are_listed_in_order() {
    let mut details = ErrorDetails::with_error_info("INVALID_EVENT", error::DOMAIN, []);
    details.set_bad_request(vec![
        tonic_types::FieldViolation::new("events[3]", "later"),
        tonic_types::FieldViolation::new("events[1]", "earlier"),
        tonic_types::FieldViolation::new("elsewhere", "ignored"),
    ]);
    let status = Status::with_error_details(Code::InvalidArgument, "x", details);
    let problem = Problem::of_status(&status);
    let found: Vec<_> = problem
        .errors
        .iter()
        .map(|e| (e.index, e.code, e.detail.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (1, "invalid_event", "earlier"),
            (3, "invalid_event", "later")
        ]
    );
}

#[test]
fn the_openapi_document_tells_the_table() {
    let config = crate::config::sample();
    let document: serde_json::Value =
        serde_json::from_slice(&crate::http::openapi::document(&config.public)).expect("JSON");
    let responses = document["components"]["responses"].as_object();
    let mut told: HashMap<&str, [String; 4]> = HashMap::new();
    for response in responses.expect("responses").values() {
        let examples = &response["content"]["application/problem+json"]["examples"];
        for (code, example) in examples.as_object().into_iter().flatten() {
            let problem = &example["value"];
            assert_eq!(problem["code"], code.as_str());
            let members = ["status", "type", "title", "detail"];
            told.insert(code, members.map(|name| problem[name].to_string()));
        }
    }
    let table = TABLE.iter().map(|entry| {
        let kind = format!("https://edge.example/problems/{}", entry.code);
        let members = [
            serde_json::json!(entry.status.as_u16()),
            kind.into(),
            entry.title.into(),
            entry.detail.into(),
        ];
        (entry.code, members.map(|member| member.to_string()))
    });
    assert_eq!(told, table.collect::<HashMap<_, _>>());
}
