use base64::{Engine, engine::general_purpose::STANDARD};
use propdev_proto::auth::{
    IssueTokenRequest, client_credentials::Method, issue_token_request::Evidence,
};
use proptest::prelude::*;

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn headers(media: &str, authorization: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !media.is_empty() {
        headers.insert("content-type", media.parse().expect("a value"));
    }
    for value in authorization {
        headers.append("authorization", value.parse().expect("a value"));
    }
    headers
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn whole(headers: &HeaderMap, bytes: &[u8]) -> Result<IssueTokenRequest, TokenError> {
    request::read(headers, read(headers, bytes)?, None)
}

fn form(body: &str) -> Result<IssueTokenRequest, TokenError> {
    whole(&headers(FORM, &[&basic("id:secret")]), body.as_bytes())
}

fn json(body: &str) -> Result<IssueTokenRequest, TokenError> {
    whole(&headers(JSON, &[&basic("id:secret")]), body.as_bytes())
}

fn told(result: Result<IssueTokenRequest, TokenError>) -> Option<String> {
    let response = result.err()?.into_response();
    let body = futures::executor::block_on(http_body_util::BodyExt::collect(response.into_body()))
        .expect("a body")
        .to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    Some(format!(
        "{} {}",
        body["error"].as_str()?,
        body["error_description"].as_str()?
    ))
}

#[test]
fn a_whole_request_is_read_alike_from_both_forms() {
    let bytes = [1.0_f32, -2.5].map(f32::to_le_bytes).concat();
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes);
    let body = format!(
        "grant_type=client_credentials&scope=door%3Aopen&face_model=m&face_vector={encoded}\
         &captured_at=2026-11-24T06%3A00%3A00Z&device_id=door-1&resource=https%3A%2F%2Fa&resource=b&x=1"
    );
    let from_form = form(&body).ok().expect("read");
    for vector in [format!("\"{encoded}\""), "[1, -2.5]".into()] {
        let from_json = json(&format!(
            r#"{{"grant_type":"client_credentials","scope":"door:open","face_model":"m",
            "face_vector":{vector},"captured_at":"2026-11-24T06:00:00Z","device_id":"door-1",
            "resource":["https://a","b"],"x":{{}}}}"#
        ))
        .ok()
        .expect("read");
        assert!(from_form == from_json);
    }
    let Some(Evidence::Face(face)) = from_form.evidence else {
        panic!("no face")
    };
    assert_eq!(face.values, bytes);
    assert_eq!(from_form.resources, ["https://a", "b"]);
    let credentials = from_form.credentials.expect("credentials");
    assert_eq!(credentials.method(), Method::ClientSecretBasic);
}

#[test]
fn values_that_are_no_numbers_of_a_face_pass_as_bytes() {
    let nan = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(f32::NAN.to_le_bytes());
    let request = form(&format!("grant_type=g&face_model=m&face_vector={nan}"))
        .ok()
        .expect("read");
    let Some(Evidence::Face(face)) = request.evidence else {
        panic!("no face")
    };
    assert!(f32::from_le_bytes(face.values.try_into().expect("four bytes")).is_nan());
    let request = json(r#"{"grant_type":"g","face_model":"m","face_vector":[1e39]}"#)
        .ok()
        .expect("read");
    let Some(Evidence::Face(face)) = request.evidence else {
        panic!("no face")
    };
    assert_eq!(face.values, f32::INFINITY.to_le_bytes());
}

#[test]
fn a_plate_is_read_in_any_script() {
    let request = form("grant_type=g&plate=%D0%90+123-BC&plate_country=RU")
        .ok()
        .expect("read");
    let Some(Evidence::Plate(plate)) = request.evidence else {
        panic!("no plate")
    };
    assert_eq!(
        (plate.number.as_str(), plate.country.as_str()),
        ("\u{410} 123-BC", "RU")
    );
}

#[test]
fn parameters_without_a_value_are_absent() {
    let request = form("grant_type=g&scope=&face_vector=&face_model=&plate=&device_id=&resource=")
        .ok()
        .expect("read");
    assert!(request.evidence.is_none() && request.scope.is_empty() && request.resources.is_empty());
}

#[test]
fn form_faults_are_invalid_requests_that_name_the_parameter() {
    for (body, wanted) in [
        ("", "empty"),
        ("scope=a", "grant_type"),
        ("grant_type=", "grant_type"),
        ("grant_type=a&grant_type=a", "repeated"),
        ("grant_type=a&unknown=1&unknown=2", "repeated"),
        ("grant_type=a&scope=%00", "zero characters"),
        ("grant_type=a&scope=%ff", "UTF-8"),
        ("grant_type=a&scope=%z1", "URL-encoded"),
        ("grant_type=a&scope=%4", "URL-encoded"),
        ("grant_type=a&face_vector=AAAA", "face_model"),
        ("grant_type=a&face_model=m", "face_vector"),
        (
            "grant_type=a&face_model=m&face_vector=A%3D%3D%3D",
            "base64url",
        ),
        (
            "grant_type=a&face_model=m&face_vector=AA%2B%2F",
            "base64url",
        ),
        ("grant_type=a&face_model=m&face_vector=[1]", "base64url"),
        (
            "grant_type=a&face_model=m&face_vector=AAAA&plate=x",
            "exclude",
        ),
        ("grant_type=a&plate_country=RU", "plate"),
        ("grant_type=a&plate=x&captured_at=yesterday", "captured_at"),
        ("grant_type=a&device_id=a%2Fb", "device_id"),
        ("grant_type=a&client_secret=s", "header and in the body"),
        ("grant_type=a&client_id=other", "client_id"),
    ] {
        let told = told(form(body)).unwrap_or_default();
        assert!(
            told.starts_with("invalid_request ") && told.contains(wanted),
            "{body}: {told}"
        );
    }
}

#[test]
fn json_faults_are_invalid_requests_that_name_the_parameter() {
    for (body, wanted) in [
        ("", "empty"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (r#"{"grant_type":"a","grant_type":"a"}"#, "twice"),
        (
            r#"{"grant_type":"a","face_vector":[1],"face_vector":[2]}"#,
            "twice",
        ),
        (r#"{"grant_type":1}"#, "grant_type"),
        (r#"{"grant_type":null}"#, "grant_type"),
        (r#"{"grant_type":"a","scope":["x"]}"#, "scope"),
        (r#"{"grant_type":"a","scope":"x\u0000"}"#, "scope"),
        (
            r#"{"grant_type":"a","face_model":"m","face_vector":[1,"2"]}"#,
            "no number",
        ),
        (
            r#"{"grant_type":"a","face_model":"m","face_vector":[1,null]}"#,
            "no number",
        ),
        (
            r#"{"grant_type":"a","face_model":"m","face_vector":{}}"#,
            "face_vector",
        ),
        (
            r#"{"grant_type":"a","face_model":"m","face_vector":[NaN]}"#,
            "not JSON",
        ),
        (r#"{"grant_type":"a","resource":[1]}"#, "resource"),
    ] {
        let told = told(json(body)).unwrap_or_default();
        assert!(
            told.starts_with("invalid_request ") && told.contains(wanted),
            "{body}: {told}"
        );
    }
}

#[test]
fn nothing_is_longer_than_a_real_request_has_it() {
    let long = |length: usize| "x".repeat(length);
    let vector = |numbers: usize| vec!["1"; numbers].join(",");
    let longest = format!(
        r#"{{"grant_type":"{}","face_model":"m","face_vector":[{}]}}"#,
        long(1024),
        vector(1024)
    );
    assert!(json(&longest).is_ok());
    for (body, wanted) in [
        (format!("grant_type={}", long(1025)), "grant_type"),
        (format!("grant_type=g&scope={}", long(1025)), "scope"),
        (
            format!("grant_type=g&resource={}", long(1025)),
            "resource is too long",
        ),
        (
            format!("grant_type=g{}", "&resource=a".repeat(17)),
            "resource stands",
        ),
        (
            format!("grant_type=g&client_assertion={}", long(8193)),
            "client_assertion",
        ),
        (
            format!("grant_type=g&face_model=m&face_vector={}", "A".repeat(5464)),
            "face_vector",
        ),
    ] {
        let told = told(form(&body)).unwrap_or_default();
        assert!(
            told.starts_with("invalid_request ") && told.contains(wanted),
            "{wanted}: {told}"
        );
    }
    let numbers = format!(
        r#"{{"grant_type":"g","face_model":"m","face_vector":[{}]}}"#,
        vector(1025)
    );
    let many = told(json(&numbers)).unwrap_or_default();
    assert!(many.contains("face_vector is too long"), "{many}");
    // What nobody knows is not sent on, and may be as long as it likes.
    assert!(form(&format!("grant_type=g&unknown={}", long(2000))).is_ok());
    let pair = basic(&format!("id:{}", long(3000)));
    let refused = told(whole(&headers(FORM, &[&pair]), b"grant_type=g"));
    assert!(refused.unwrap_or_default().starts_with("invalid_client"));
}

#[test]
fn other_media_types_are_invalid_requests() {
    for media in ["", "text/plain", "multipart/form-data; boundary=x"] {
        let result = whole(&headers(media, &[&basic("id:s")]), b"grant_type=a");
        assert!(
            told(result)
                .unwrap_or_default()
                .starts_with("invalid_request"),
            "{media}"
        );
    }
    let result = read(
        &headers("Application/JSON; charset=utf-8", &[&basic("i:s")]),
        b"{\"grant_type\":\"g\"}",
    );
    assert!(result.is_ok());
}

#[test]
fn credentials_are_form_decoded_and_sent_one_way() {
    let request = whole(&headers(FORM, &[&basic("a%3Ab:c+d%25")]), b"grant_type=g")
        .ok()
        .expect("read");
    let credentials = request.credentials.expect("credentials");
    assert_eq!(
        (
            credentials.client_id.as_str(),
            credentials.client_secret.as_str()
        ),
        ("a:b", "c d%")
    );

    let request = whole(
        &headers(FORM, &[]),
        b"grant_type=g&client_id=a&client_secret=b",
    )
    .ok()
    .expect("read");
    let credentials = request.credentials.expect("credentials");
    assert_eq!(credentials.method(), Method::ClientSecretPost);

    assert!(
        whole(
            &headers(FORM, &[&basic("a:b")]),
            b"grant_type=g&client_id=a"
        )
        .is_ok()
    );
}

#[test]
fn clients_that_do_not_prove_themselves_are_invalid() {
    for (authorization, body) in [
        (vec![], "grant_type=g"),
        (vec![], "grant_type=g&client_id=a"),
        (vec![], "grant_type=g&client_id=a&client_secret="),
        (
            vec![],
            "grant_type=g&client_assertion=c&client_assertion_type=urn:other",
        ),
        (vec!["Basic !!!".to_owned()], "grant_type=g"),
        (vec!["Bearer abc".to_owned()], "grant_type=g"),
        (vec![basic("nocolon")], "grant_type=g"),
        (vec![basic("a:%zz")], "grant_type=g"),
        (vec![basic("a:%00")], "grant_type=g"),
    ] {
        let values: Vec<&str> = authorization.iter().map(String::as_str).collect();
        let told = told(whole(&headers(FORM, &values), body.as_bytes())).unwrap_or_default();
        assert!(
            told.starts_with("invalid_client"),
            "{authorization:?} {body}: {told}"
        );
    }
    let twice = whole(
        &headers(FORM, &[&basic("a:b"), &basic("a:b")]),
        b"grant_type=g",
    );
    assert!(
        told(twice)
            .unwrap_or_default()
            .starts_with("invalid_request")
    );
}

const JWT: &str =
    "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

#[test]
fn an_assertion_is_read_alone() {
    let read = |body: &str| whole(&headers(FORM, &[]), body.as_bytes());
    let request = read(&format!("grant_type=g&client_assertion=a.b.c&{JWT}"));
    let credentials = request
        .ok()
        .expect("read")
        .credentials
        .expect("credentials");
    assert_eq!(credentials.method(), Method::PrivateKeyJwt);
    assert_eq!(credentials.client_assertion, "a.b.c");
    assert_eq!(credentials.client_id, "");
    for body in [
        format!("grant_type=g&client_id=a&client_secret=b&client_assertion=c&{JWT}"),
        "grant_type=g&client_assertion=c".to_owned(),
        format!("grant_type=g&{JWT}"),
    ] {
        let told = told(read(&body)).unwrap_or_default();
        assert!(told.starts_with("invalid_request"), "{body}: {told}");
    }
}

#[test]
fn a_certificate_proves_who_says_nothing_else() {
    let caller = crate::caller::Caller {
        address: "192.0.2.1".parse().expect("an address"),
        certificates: std::sync::Arc::new([b"leaf".to_vec()]),
    };
    let read = |body: &str| {
        let headers = headers(FORM, &[]);
        request::read(&headers, read(&headers, body.as_bytes())?, Some(&caller))
    };
    let request = read("grant_type=g&client_id=a").ok().expect("read");
    let credentials = request.credentials.expect("credentials");
    assert_eq!(credentials.method(), Method::Tls);
    assert_eq!(credentials.certificate_chain, [b"leaf".to_vec()]);
    assert_eq!(credentials.address, "192.0.2.1");
    let with_secret = read("grant_type=g&client_id=a&client_secret=b")
        .ok()
        .expect("read");
    let credentials = with_secret.credentials.expect("credentials");
    assert_eq!(credentials.method(), Method::ClientSecretPost);
    assert_eq!(credentials.certificate_chain.len(), 1);
    assert!(read("grant_type=g").is_err());
}

#[test]
fn nothing_of_worth_is_taken_from_the_query() {
    assert!(request::refuse_query(None).is_ok());
    assert!(request::refuse_query(Some("grant_type=x&debug=1")).is_ok());
    for query in ["client_id=a", "client%5Fsecret=b", "a=1&plate=x", "%ff"] {
        assert!(request::refuse_query(Some(query)).is_err(), "{query}");
    }
}

#[test]
fn every_reason_of_auth_svc_has_its_answer() {
    use tonic::{Code, Status};
    for (reason, status, error) in [
        ("INVALID_REQUEST", 400, "invalid_request"),
        ("INVALID_CLIENT", 401, "invalid_client"),
        ("INVALID_GRANT", 400, "invalid_grant"),
        ("UNAUTHORIZED_CLIENT", 400, "unauthorized_client"),
        ("UNSUPPORTED_GRANT_TYPE", 400, "unsupported_grant_type"),
        ("INVALID_SCOPE", 400, "invalid_scope"),
        ("INVALID_TARGET", 400, "invalid_target"),
        ("TEMPORARILY_UNAVAILABLE", 503, "temporarily_unavailable"),
        ("SLOW_DOWN", 429, "slow_down"),
        ("RATE_LIMITED", 429, "slow_down"),
        ("OF_TOMORROW", 500, "server_error"),
    ] {
        let sent = mesh::error::status_with(
            Code::Unknown,
            reason,
            "internals",
            [("retry_after", "9".into())],
        );
        let response = TokenError::from(sent.clone()).into_response();
        assert_eq!(response.status().as_u16(), status, "{reason}");
        assert_eq!(
            response.headers().contains_key("www-authenticate"),
            status == 401
        );
        if matches!(status, 429 | 503) {
            assert_eq!(response.headers()["retry-after"], "9");
        }
        let told = told(Err(sent.into())).expect("an error");
        assert!(
            told.starts_with(error) && !told.contains("internals"),
            "{told}"
        );
    }
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::Cancelled,
    ] {
        let told = told(Err(Status::new(code, "internals").into())).expect("an error");
        assert!(told.starts_with("temporarily_unavailable"), "{told}");
    }
}

proptest! {
    #[test]
    fn any_body_is_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..256),
        authorization in "[ -~]{0,64}",
        is_json in any::<bool>(),
    ) {
        let media = if is_json { JSON } else { FORM };
        let _ = whole(&headers(media, &[&authorization]), &bytes);
    }

    #[test]
    fn forms_of_known_names_are_read_without_a_panic(
        body in "((grant_type|face_vector|plate|captured_at|device_id|scope)=[ -~]{0,20}&){0,5}",
    ) {
        let _ = form(&body);
    }
}
