//! How like its template a picture must be, by how many templates are searched.

use devmesh::estate;
use mesh_tests::{Database, Mesh};
use partner_sim::face::Identity;
use propdev_proto::biometric::{
    EnrolTemplateRequest, FaceVector, IdentifyRequest,
    biometric_service_client::BiometricServiceClient, identify_response::Outcome,
};
use uuid::Uuid;

use super::{BIOMETRIC, channel_as};

const SMALL: &str = "small";
/// The fewest there may be: the threshold rises the most.
const DIMENSION: usize = 128;
/// Beside the one who is looked for.
const OTHERS: u64 = 99;
/// A tail of 0.001 is that of 3.09 deviations of 1/sqrt(128), a hundredth of it
/// that of 4.26: the threshold is 0.273 among one and 0.377 among a hundred.
const BETWEEN: f32 = 0.325;
const ABOVE: f32 = 0.5;

fn message(vector: &[f32]) -> Option<FaceVector> {
    Some(FaceVector {
        model: SMALL.into(),
        values: vector.iter().flat_map(|v| v.to_le_bytes()).collect(),
    })
}

/// Always the same one of that number.
fn face(number: u64) -> Vec<f32> {
    Identity::new(number, DIMENSION).enrolment()
}

/// At that angle to the first face.
fn at(cosine: f32) -> Vec<f32> {
    let (center, other) = (face(0), face(OTHERS + 1));
    let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let along = dot(&other, &center);
    let across: Vec<f32> = other
        .iter()
        .zip(&center)
        .map(|(other, center)| other - along * center)
        .collect();
    let tangent = (1.0 - cosine * cosine).sqrt() / dot(&across, &across).sqrt();
    center
        .iter()
        .zip(&across)
        .map(|(center, across)| cosine * center + tangent * across)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_threshold_rises_with_the_templates_that_are_searched() {
    let usual = estate::MODEL;
    let models = format!(
        "[[models]]\nname = \"{usual}\"\nversion = \"1\"\ndimension = {}\n\
         threshold = 0.45\nmargin = 0.05\n\
         [[models]]\nname = \"{SMALL}\"\nversion = \"1\"\ndimension = {DIMENSION}\n\
         threshold = 0.2\nmargin = 0.05\nfalse_match_bound = 0.001\n",
        estate::DIMENSION
    );
    let mesh = Mesh::start_with(Database::Sqlite, |service, text| match service {
        BIOMETRIC => format!("{text}{models}"),
        _ => text,
    })
    .await;
    let client = BiometricServiceClient::new(channel_as(&mesh.layout, "access-svc"));
    let [alone, crowd] = [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.to_string());
    for number in 0..=OTHERS {
        let gallery = if number == 0 { &alone } else { &crowd };
        let request = EnrolTemplateRequest {
            subject_id: Uuid::new_v4().to_string(),
            template_id: Uuid::new_v4().to_string(),
            face: message(&face(number)),
            gallery_ids: vec![gallery.clone()],
            consent_reference: "signed form 5".into(),
            consented_at: Some(prost_types::Timestamp::default()),
        };
        let enrolled = client.clone().enrol_template(request).await;
        enrolled.expect("enrolled");
    }
    let outcome = async |cosine, galleries: &[&String]| {
        let request = IdentifyRequest {
            face: message(&at(cosine)),
            gallery_ids: galleries.iter().copied().cloned().collect(),
        };
        let found = client.clone().identify(request).await;
        found.expect("an answer").into_inner().outcome()
    };
    assert_eq!(outcome(BETWEEN, &[&alone]).await, Outcome::Match);
    assert_eq!(outcome(BETWEEN, &[&alone, &crowd]).await, Outcome::Nobody);
    assert_eq!(outcome(ABOVE, &[&alone, &crowd]).await, Outcome::Match);
}
