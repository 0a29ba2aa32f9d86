use axum::response::IntoResponse;
use http_body_util::BodyExt;
use propdev_proto::access::{Command, CommandStatus, Decision, OpenResponse, Opening};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    headers
}

fn parse(kind: DeviceKind, text: &str) -> Result<body::OpeningBody, BodyFault> {
    body::parse(kind, &json_headers(), text.as_bytes())
}

#[test]
fn evidence_is_read() {
    assert!(parse(DeviceKind::Door, "").is_ok_and(|body| body.evidence.is_none()));
    assert!(parse(DeviceKind::Door, "{}").is_ok_and(|body| body.evidence.is_none()));
    let no_type = body::parse(DeviceKind::Door, &HeaderMap::new(), b"");
    assert!(no_type.is_ok());

    let text = r#"{"face":{"model":"m","vector":[0,1.5]},"captured_at":"2026-11-24T06:00:00Z"}"#;
    let body = parse(DeviceKind::Door, text).expect("read");
    let Some(Evidence::Face(face)) = body.evidence else {
        panic!("no face")
    };
    assert_eq!(face.values, [0.0_f32, 1.5].map(f32::to_le_bytes).concat());
    assert!(body.captured_at.is_some());

    let body = parse(DeviceKind::Barrier, r#"{"plate":{"number":"A123BC77"}}"#).expect("read");
    let Some(Evidence::Plate(plate)) = body.evidence else {
        panic!("no plate")
    };
    assert_eq!(
        (plate.number.as_str(), plate.country.as_str()),
        ("A123BC77", "")
    );
}

#[test]
fn faults_carry_a_reason_and_name_the_field() {
    use DeviceKind::{Barrier, Door};
    for (kind, text, reason, wanted) in [
        (Door, " ", "MALFORMED_REQUEST", "not JSON"),
        (Door, "{", "MALFORMED_REQUEST", "not JSON"),
        (Door, "null", "MALFORMED_REQUEST", "not a JSON object"),
        (Door, "[]", "MALFORMED_REQUEST", "not a JSON object"),
        (
            Door,
            r#"{"other":1}"#,
            "MALFORMED_REQUEST",
            "member other than",
        ),
        (Door, r#"{"face":1,"face":2}"#, "MALFORMED_REQUEST", "twice"),
        (
            Door,
            r#"{"face":null}"#,
            "MALFORMED_REQUEST",
            "face is not an object",
        ),
        (
            Door,
            r#"{"face":["m",[1]]}"#,
            "MALFORMED_REQUEST",
            "face is not an object",
        ),
        (
            Door,
            r#"{"face":{"vector":[1]}}"#,
            "MALFORMED_REQUEST",
            "face.model is missing",
        ),
        (
            Door,
            r#"{"face":{"model":1,"vector":[1]}}"#,
            "MALFORMED_REQUEST",
            "face.model",
        ),
        (
            Door,
            r#"{"face":{"model":"m"}}"#,
            "MALFORMED_REQUEST",
            "face.vector is missing",
        ),
        (
            Door,
            r#"{"face":{"model":"m","vector":1}}"#,
            "MALFORMED_REQUEST",
            "face.vector",
        ),
        (
            Door,
            r#"{"face":{"model":"m","vector":[1],"x":1}}"#,
            "MALFORMED_REQUEST",
            "other than",
        ),
        (
            Door,
            r#"{"face":{"model":"m","vector":"+/=="}}"#,
            "INVALID_FACE_VECTOR",
            "base64url",
        ),
        (
            Door,
            r#"{"face":{"model":"m","vector":[1,"a"]}}"#,
            "INVALID_FACE_VECTOR",
            "no number",
        ),
        (
            Door,
            r#"{"face":{"model":"m","vector":[NaN]}}"#,
            "MALFORMED_REQUEST",
            "not JSON",
        ),
        (
            Door,
            r#"{"face":{},"plate":{}}"#,
            "MALFORMED_REQUEST",
            "exclude",
        ),
        (
            Door,
            r#"{"plate":{"number":"x"}}"#,
            "MALFORMED_REQUEST",
            "opens barriers",
        ),
        (
            Barrier,
            r#"{"face":{"model":"m","vector":[1]}}"#,
            "MALFORMED_REQUEST",
            "opens doors",
        ),
        (
            Barrier,
            r#"{"plate":"x"}"#,
            "MALFORMED_REQUEST",
            "plate is not an object",
        ),
        (
            Barrier,
            r#"{"plate":{"country":"RU"}}"#,
            "MALFORMED_REQUEST",
            "plate.number",
        ),
        (
            Barrier,
            r#"{"plate":{"number":"x","country":7}}"#,
            "MALFORMED_REQUEST",
            "country",
        ),
        (
            Door,
            r#"{"captured_at":"now"}"#,
            "MALFORMED_REQUEST",
            "captured_at",
        ),
        (
            Door,
            r#"{"captured_at":5}"#,
            "MALFORMED_REQUEST",
            "captured_at",
        ),
    ] {
        let fault = parse(kind, text).err().expect(text);
        assert_eq!(fault.reason, reason, "{text}");
        assert!(fault.detail.contains(wanted), "{text}: {}", fault.detail);
    }
    let plain = body::parse(DeviceKind::Door, &HeaderMap::new(), b"{}")
        .err()
        .expect("a fault");
    assert_eq!(plain.reason, "UNSUPPORTED_MEDIA_TYPE");
    let mut encoded = json_headers();
    encoded.insert("content-encoding", "gzip".parse().expect("a value"));
    let encoded = body::parse(DeviceKind::Door, &encoded, b"{}")
        .err()
        .expect("a fault");
    assert_eq!(encoded.reason, "UNSUPPORTED_MEDIA_TYPE");
}

#[test]
fn idempotency_keys_are_visible_ascii() {
    let key = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                "idempotency-key",
                http::HeaderValue::from_bytes(value).expect("a value"),
            );
        }
        idempotency_key(&headers).ok()
    };
    assert_eq!(key(&[]).as_deref(), Some(""));
    assert_eq!(key(&[b"!key~"]).as_deref(), Some("!key~"));
    assert!(key(&[&[b'x'; 255]]).is_some());
    for bad in [
        &[&b""[..]][..],
        &[b"a b"],
        &[b"\xd0\xb0"],
        &[&[b'x'; 256]],
        &[b"a", b"b"],
    ] {
        assert!(key(bad).is_none());
    }
}

fn granted(status: CommandStatus) -> OpenResponse {
    OpenResponse {
        opening: Some(Opening {
            opening_id: "o".into(),
            device_id: "d".into(),
            decision: Decision::Granted.into(),
            command: Some(Command {
                command_id: "c".into(),
                status: status.into(),
                expires_at: Some(prost_types::Timestamp {
                    seconds: 5,
                    nanos: 0,
                }),
            }),
            decided_at: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 500_000_000,
            }),
            audit_pseudonym: "marked".into(),
            ..Opening::default()
        }),
        replayed: false,
    }
}

fn body_of(response: Response) -> Value {
    let bytes = futures::executor::block_on(response.into_body().collect())
        .expect("a body")
        .to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_delivered_command_is_the_contracts_200() {
    let response = answer::opened(granted(CommandStatus::Delivered)).into_response();
    assert_eq!(response.status().as_u16(), 200);
    assert!(!response.headers().contains_key("idempotent-replayed"));
    assert_eq!(
        body_of(response),
        json!({
            "opening_id": "o", "device_id": "d", "decision": "granted",
            "command": {"status": "delivered", "id": "c", "expires_at": "1970-01-01T00:00:05Z"},
            "decided_at": "1970-01-01T00:00:01.5Z",
        })
    );
}

#[test]
fn every_other_outcome_has_its_status_and_the_openings_id() {
    for (status, wanted) in [
        (CommandStatus::Opened, 200),
        (CommandStatus::Failed, 200),
        (CommandStatus::Rejected, 502),
        (CommandStatus::Expired, 503),
        (CommandStatus::Unknown, 504),
        (CommandStatus::Pending, 504),
    ] {
        let response = answer::opened(granted(status)).into_response();
        assert_eq!(response.status().as_u16(), wanted, "{status:?}");
        assert_eq!(
            response.headers().contains_key("retry-after"),
            wanted == 503
        );
    }
    let mut denied = granted(CommandStatus::Unspecified);
    denied.replayed = true;
    if let Some(opening) = denied.opening.as_mut() {
        opening.decision = Decision::Denied.into();
        opening.denial_code = "no_grant".into();
        opening.command = None;
    }
    let response = answer::opened(denied).into_response();
    assert_eq!(response.status().as_u16(), 403);
    assert_eq!(response.headers()["idempotent-replayed"], "true");
}

#[test]
fn a_lost_answer_is_not_called_nothing_opened() {
    assert!(lost(&Status::deadline_exceeded("x")));
    assert!(lost(&Status::cancelled("x")));
    assert!(lost(&Status::unavailable("a connection that broke")));
    assert!(!lost(&mesh::client::not_sent("x")));
    assert!(!lost(&mesh::error::status(
        Code::Unavailable,
        "UNAVAILABLE",
        "x"
    )));
    assert!(!lost(&mesh::error::status(
        Code::DeadlineExceeded,
        "UNAVAILABLE",
        "x"
    )));
}

proptest! {
    #[test]
    fn any_body_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = body::parse(DeviceKind::Door, &json_headers(), &bytes);
        let _ = body::parse(DeviceKind::Barrier, &json_headers(), &bytes);
    }
}
