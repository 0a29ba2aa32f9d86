use http::HeaderMap;
use propdev_proto::access::{CommandResult, CommandStatus, CredentialOpening};
use proptest::prelude::*;

use super::*;

const ID: &str = "0198b6d2-6f5c-7000-8000-000000000001";

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    headers
}

fn keys_of(text: &str) -> Result<Batch<CredentialOpening>, BodyFault> {
    let opened = Opened::BY_KEY;
    batch(&headers(), text.as_bytes(), &opened.fields(), |event| {
        credential_opening(event, opened)
    })
}

fn commands_of(text: &str) -> Result<Batch<CommandResult>, BodyFault> {
    batch(
        &headers(),
        text.as_bytes(),
        batch::COMMAND_FIELDS,
        command_result,
    )
}

#[test]
fn single_events_and_batches_are_read() {
    let one = r#"{"key_id":"k-1","opened_at":"2026-11-24T06:00:00+03:00","event_id":"e","grown":{"a":1}}"#;
    let batch = keys_of(one).expect("read");
    assert_eq!((batch.events.len(), batch.faults.len()), (1, 0));
    assert_eq!(batch.events[0].credential_id, "k-1");
    assert_eq!(batch.events[0].device_id, "");

    let batch = keys_of(&format!(r#"{{"events":[{one},{one}],"batch":7}}"#)).expect("read");
    assert_eq!(batch.events.len(), 2);
    assert!(keys_of(r#"{"events":[]}"#).is_ok_and(|batch| batch.events.is_empty()));
    let null = r#"{"key_id":"k","opened_at":"2026-11-24T06:00:00Z","device_id":null}"#;
    assert!(keys_of(null).is_ok_and(|batch| batch.events.len() == 1));

    let text = format!(
        r#"{{"command_id":"{ID}","opening_id":"{ID}","status":"failed","at":"2026-11-24T06:00:00Z"}}"#
    );
    let batch = commands_of(&text).expect("read");
    assert_eq!(batch.events[0].status(), CommandStatus::Failed);
}

#[test]
fn a_bad_event_is_named_by_its_place_and_its_field() {
    let good = r#"{"key_id":"k","opened_at":"2026-11-24T06:00:00Z"}"#;
    for (bad, wanted) in [
        ("1", "not an object"),
        ("{}", "key_id is missing"),
        (r#"{"key_id":"k"}"#, "opened_at is missing"),
        (
            r#"{"key_id":"k k","opened_at":"2026-11-24T06:00:00Z"}"#,
            "key_id",
        ),
        (
            r#"{"key_id":7,"opened_at":"2026-11-24T06:00:00Z"}"#,
            "key_id",
        ),
        (r#"{"key_id":"k","opened_at":"2026-11-24"}"#, "opened_at"),
        (
            r#"{"key_id":"k","opened_at":"2026-11-24T06:00:00Z","device_id":""}"#,
            "device_id",
        ),
        (
            r#"{"key_id":"k","opened_at":"2026-11-24T06:00:00Z","event_id":[]}"#,
            "event_id",
        ),
    ] {
        let batch = keys_of(&format!(r#"{{"events":[{good},{bad},{good}]}}"#)).expect("read");
        assert_eq!(batch.events.len(), 2, "{bad}");
        assert_eq!(batch.faults[0].index, 1, "{bad}");
        assert!(
            batch.faults[0].detail.contains(wanted),
            "{bad}: {}",
            batch.faults[0].detail
        );
    }
    for (bad, wanted) in [
        (
            format!(
                r#"{{"command_id":"x","opening_id":"{ID}","status":"opened","at":"2026-11-24T06:00:00Z"}}"#
            ),
            "command_id",
        ),
        (
            format!(
                r#"{{"command_id":"{ID}","opening_id":"{ID}","status":"pending","at":"2026-11-24T06:00:00Z"}}"#
            ),
            "status",
        ),
        (
            format!(r#"{{"command_id":"{ID}","opening_id":"{ID}","status":"opened"}}"#),
            "at is missing",
        ),
    ] {
        let batch = commands_of(&bad).expect("read");
        assert!(batch.faults[0].detail.contains(wanted), "{bad}");
    }
}

#[test]
fn bodies_that_cannot_be_read_are_faults_of_the_whole() {
    let many = format!(r#"{{"events":[{}]}}"#, vec!["1"; 1_001].join(","));
    for (text, reason) in [
        ("", "MALFORMED_REQUEST"),
        ("[]", "MALFORMED_REQUEST"),
        (r#"{"events":{}}"#, "MALFORMED_REQUEST"),
        (r#"{"events":null}"#, "MALFORMED_REQUEST"),
        (r#"{"events":[],"key_id":"k"}"#, "MALFORMED_REQUEST"),
        (r#"{"events":[],"events":[]}"#, "MALFORMED_REQUEST"),
        (many.as_str(), "PAYLOAD_TOO_LARGE"),
    ] {
        let fault = keys_of(text).err().expect("a fault");
        assert_eq!(fault.reason, reason, "{}", &text[..text.len().min(40)]);
    }
    let opened = Opened::BY_FOB;
    let plain = batch(&HeaderMap::new(), b"{}", &opened.fields(), |e| {
        credential_opening(e, opened)
    });
    assert_eq!(
        plain.err().expect("a fault").reason,
        "UNSUPPORTED_MEDIA_TYPE"
    );
}

#[test]
fn a_signature_goes_inside_as_it_came() {
    let body = Bytes::from_static(b" {\"key_id\":\"k\"}\n");
    assert!(signature(&headers(), &body).is_none());
    let of = |pairs: &[(&'static str, &str)]| {
        let mut headers = headers();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        signature(&headers, &body).expect("a signature")
    };
    let whole = of(&[
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1795500000"),
        ("webhook-signature", "v1,a v1,b"),
    ]);
    assert_eq!(
        [&whole.id, &whole.timestamp, &whole.signature],
        ["msg_1", "1795500000", "v1,a v1,b"]
    );
    assert_eq!(whole.body, body);
    // Half a signature is one, and a bad one.
    let half = of(&[("webhook-id", "a"), ("webhook-id", "b")]);
    assert_eq!([half.id, half.timestamp], ["", ""]);
    let mut headers = headers();
    let no_text = http::HeaderValue::from_bytes(b"\xff").expect("a value");
    headers.insert("webhook-timestamp", no_text);
    assert!(signature(&headers, &body).is_some_and(|one| one.timestamp.is_empty()));
}

proptest! {
    #[test]
    fn any_body_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let opened = Opened::BY_KEY;
        let _ = batch(&headers(), &bytes, &opened.fields(), |e| credential_opening(e, opened));
        let _ = batch(&headers(), &bytes, batch::COMMAND_FIELDS, command_result);
    }
}
