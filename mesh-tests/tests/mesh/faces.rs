//! Faces that are nobody's for whatever reason: a partner is told the same of
//! all of them.

use devmesh::{
    estate::{DIMENSION, DOOR, MODEL, Person},
    operator::Operator,
};
use mesh::{Clock, SystemClock};
use mesh_tests::{Answer, Mesh, Partner, on_both_databases};
use partner_sim::face::{Identity, to_base64url};
use propdev_proto::{
    access::{CreateResidentRequest, EnrolFaceRequest},
    biometric::{
        FaceVector, IdentifyRequest, biometric_service_client::BiometricServiceClient,
        identify_response::Outcome,
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::clients::register;

on_both_databases!(
    who_is_not_recognised_is_not_told_why,
    the_gate_says_which_template_it_refuses,
);

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `a` and so much of `b`, brought to unit length.
fn mix(a: &[f32], share: f32, b: &[f32]) -> Vec<f32> {
    let sum: Vec<f32> = a.iter().zip(b).map(|(a, b)| a + share * b).collect();
    let norm = dot(&sum, &sum).sqrt();
    sum.iter().map(|value| value / norm).collect()
}

fn center(person: &Person) -> Vec<f32> {
    Identity::new(person.identity, DIMENSION).enrolment()
}

/// A fresh vector at that angle to another one, in a random direction.
fn at(cosine: f32, center: &[f32]) -> Vec<f32> {
    let seed = uuid::Uuid::new_v4().as_u64_pair().0;
    let other = Identity::new(seed, DIMENSION).enrolment();
    let across = mix(&other, -dot(&other, center), center);
    let tangent = (1.0 - cosine * cosine).sqrt() / cosine;
    mix(center, tangent, &across)
}

fn message(vector: &[f32]) -> Option<FaceVector> {
    Some(FaceVector {
        model: MODEL.into(),
        values: vector.iter().flat_map(|v| v.to_le_bytes()).collect(),
    })
}

/// Another resident of the site, whose face is not known yet.
async fn faceless(mesh: &Mesh) -> String {
    let operator = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let request = CreateResidentRequest {
        name: "A twin".into(),
        site_ids: vec![mesh.estate.site_id.clone()],
        ..CreateResidentRequest::default()
    };
    let created = operator.residents().create_resident(request).await;
    let created = created.expect("created").into_inner();
    created.resident.expect("a resident").resident_id
}

fn enrolment(resident_id: &str, vector: &[f32]) -> EnrolFaceRequest {
    EnrolFaceRequest {
        resident_id: resident_id.into(),
        face: message(vector),
        consent_reference: "signed form 2".into(),
        consented_at: Some(prost_types::Timestamp {
            seconds: SystemClock.now().as_second(),
            nanos: 0,
        }),
        template_id: String::new(),
    }
}

async fn ask_to_enrol(mesh: &Mesh, request: EnrolFaceRequest) -> Result<(), Status> {
    let operator = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    operator.residents().enrol_face(request).await.map(|_| ())
}

async fn enrol(mesh: &Mesh, resident_id: &str, vector: &[f32]) -> Result<(), Status> {
    ask_to_enrol(mesh, enrolment(resident_id, vector)).await
}

/// What biometric-svc says of a face, which it says to other services alone.
async fn outcome(mesh: &Mesh, vector: &[f32]) -> Outcome {
    outcome_in(mesh, &mesh.estate.site_id, vector).await
}

async fn outcome_in(mesh: &Mesh, gallery: &str, vector: &[f32]) -> Outcome {
    let folder = mesh.folder.path().join("certificates/auth-svc");
    let credentials = mesh::tls::Credentials::load(mesh.layout.tls(&folder)).expect("credentials");
    let endpoint = format!("https://{}", mesh.layout.addresses.grpc("biometric-svc"));
    let policy = mesh::policy::Policy::built_in().expect("contracts");
    let channel = mesh::client::connect("biometric-svc", &endpoint, credentials, policy);
    let request = IdentifyRequest {
        face: message(vector),
        gallery_ids: vec![gallery.into()],
    };
    let mut client = BiometricServiceClient::new(channel.expect("a channel"));
    let answer = client.identify(request).await.expect("an answer");
    answer.into_inner().outcome()
}

async fn ask(partner: &Partner, vector: &[f32], captured_at: &str) -> Answer {
    let vector = to_base64url(vector);
    let mut parameters = vec![("face_model", MODEL), ("face_vector", vector.as_str())];
    if !captured_at.is_empty() {
        parameters.push(("captured_at", captured_at));
    }
    partner.ask_token(&parameters).await
}

async fn open(partner: &Partner, token: &str, vector: &[f32], captured_at: &str) -> Answer {
    let mut body = json!({"face": {"model": MODEL, "vector": vector}});
    if !captured_at.is_empty() {
        body["captured_at"] = json!(captured_at);
    }
    let request = partner
        .request(Method::POST, &format!("/v1/doors/{DOOR}/open"))
        .bearer_auth(token)
        .json(&body);
    Partner::send(request).await
}

/// All that an answer says, but for what differs from one to the next anyhow.
fn said(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", mesh::context::REQUEST_ID].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    headers.sort();
    let mut body = answer.body.clone();
    for name in ["request_id", "opening_id"] {
        if let Some(id) = body.get_mut(name) {
            *id = json!("an id");
        }
    }
    (answer.status, headers, body)
}

async fn who_is_not_recognised_is_not_told_why(mesh: Mesh) {
    let partner = mesh.partner();
    let estate = &mesh.estate;
    let registered = register(&mesh, |_| ()).await;
    let mut another = partner.clone();
    another.client_id = registered.client.expect("a client").client_id;
    another.client_secret = registered.client_secret;
    let token = another.token().await;

    let resident = center(&estate.resident);
    let twin = at(0.9, &resident);
    let between = mix(&resident, 1.0, &twin);
    let unique = at(0.97, &between);
    assert_eq!(outcome(&mesh, &unique).await, Outcome::Match);
    let nowhere = uuid::Uuid::new_v4().to_string();
    let elsewhere = outcome_in(&mesh, &nowhere, &unique).await;
    assert_eq!(elsewhere, Outcome::Nobody, "in a gallery that is not known");
    let other = faceless(&mesh).await;
    enrol(&mesh, &other, &twin).await.expect("enrolled");
    assert_eq!(outcome(&mesh, &unique).await, Outcome::Ambiguous);

    let stranger = || devmesh::estate::probe(estate.stranger);
    let ambiguous = || at(0.97, &between);
    let leaver = center(&estate.leaver);
    let below = || at(0.4, &leaver);
    assert_eq!(outcome(&mesh, &stranger()).await, Outcome::Nobody);
    assert_eq!(outcome(&mesh, &below()).await, Outcome::Nobody);
    let old = (SystemClock.now() - jiff::SignedDuration::from_secs(60)).to_string();
    let mut captured = Vec::new();
    for _ in 0..2 {
        let probe = estate.leaver.probe();
        assert_eq!(outcome(&mesh, &probe).await, Outcome::Match);
        assert_eq!(partner.ask_face_token(&probe).await.status, 200);
        captured.push(probe);
    }

    let unknown = said(&ask(&another, &stranger(), "").await);
    assert_eq!(
        (unknown.0, &unknown.2["error"]),
        (400, &json!("invalid_grant"))
    );
    for (why, vector, captured_at) in [
        ("ambiguous", ambiguous(), ""),
        ("below the threshold", below(), ""),
        ("replayed", captured[0].clone(), ""),
        ("stale", estate.leaver.probe(), old.as_str()),
    ] {
        let answer = ask(&another, &vector, captured_at).await;
        assert_eq!(said(&answer), unknown, "{why}");
    }

    let unknown = said(&open(&another, &token, &stranger(), "").await);
    let code = json!("subject_not_recognized");
    assert_eq!((unknown.0, &unknown.2["code"]), (403, &code));
    assert_eq!(unknown.2["opening_id"], "an id", "it was decided");
    for (why, vector, captured_at) in [
        ("ambiguous", ambiguous(), ""),
        ("below the threshold", below(), ""),
        ("replayed", captured[1].clone(), ""),
        ("stale", estate.leaver.probe(), old.as_str()),
    ] {
        let answer = open(&another, &token, &vector, captured_at).await;
        assert_eq!(said(&answer), unknown, "{why}");
    }
}

async fn refusal(mesh: &Mesh, resident_id: &str, vector: &[f32]) -> (Code, String) {
    let status = enrol(mesh, resident_id, vector).await;
    let status = status.expect_err("refused");
    let (reason, _) = mesh::error::reason(&status).expect("a reason");
    (status.code(), reason)
}

async fn the_gate_says_which_template_it_refuses(mesh: Mesh) {
    let estate = &mesh.estate;
    let known = &estate.resident.resident_id;
    let resident = center(&estate.resident);
    let other = faceless(&mesh).await;
    assert_eq!(
        refusal(&mesh, &other, &at(0.97, &resident)).await,
        (
            Code::AlreadyExists,
            "TEMPLATE_OF_ANOTHER_SUBJECT".to_owned()
        )
    );
    let stranger = Identity::new(estate.stranger, DIMENSION).enrolment();
    assert_eq!(
        refusal(&mesh, known, &stranger).await,
        (Code::FailedPrecondition, "TEMPLATE_DISAGREES".to_owned())
    );
    assert_eq!(outcome(&mesh, &stranger).await, Outcome::Nobody);

    // Nobody is enrolled without a consent and its date.
    let good = enrolment(&other, &stranger);
    let without_reference = EnrolFaceRequest {
        consent_reference: String::new(),
        ..good.clone()
    };
    let without_date = EnrolFaceRequest {
        consented_at: None,
        ..good
    };
    for request in [without_reference, without_date] {
        let refused = ask_to_enrol(&mesh, request).await.expect_err("refused");
        let reason = mesh::error::reason(&refused).map(|(reason, _)| reason);
        let reason = reason.unwrap_or_default();
        let expected = (Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!((refused.code(), reason.as_str()), expected);
    }
    assert_eq!(outcome(&mesh, &stranger).await, Outcome::Nobody);

    // The resident's own comes as close as it likes, and another's less so.
    let own = enrol(&mesh, known, &at(0.97, &resident)).await;
    own.expect("enrolled");
    let twin = enrol(&mesh, &other, &at(0.8, &resident)).await;
    twin.expect("enrolled");
}
