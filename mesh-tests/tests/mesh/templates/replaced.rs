//! A template put in the place of another.

use devmesh::{
    estate::{DIMENSION, MODEL},
    operator::Operator,
};
use mesh::{Clock, SystemClock};
use mesh_tests::{Database, Mesh};
use partner_sim::face::Identity;
use propdev_proto::{
    access::{CreateResidentRequest, EnrolFaceRequest},
    biometric::{FaceVector, identify_response::Outcome},
};

use super::{BIOMETRIC, identify};
use crate::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_template_is_known_in_its_new_form_alone_on_every_replica() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    mesh.replicate_services(&[BIOMETRIC]).await;
    let (first, second) = (mesh.layout.clone(), mesh.replica());
    let privacy = Operator::connect(&first, "privacy").expect("an operator");
    let request = CreateResidentRequest {
        name: "Galina Example".into(),
        site_ids: vec![mesh.estate.site_id.clone()],
        ..CreateResidentRequest::default()
    };
    let created = privacy.residents().create_resident(request).await;
    let created = created.expect("created").into_inner();
    let resident_id = created.resident.expect("a resident").resident_id;
    let template_id = uuid::Uuid::new_v4().to_string();
    let enrol = async |face: &Identity| {
        let request = EnrolFaceRequest {
            resident_id: resident_id.clone(),
            face: Some(FaceVector {
                model: MODEL.into(),
                values: face
                    .enrolment()
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect(),
            }),
            consent_reference: "signed form 4".into(),
            consented_at: Some(prost_types::Timestamp {
                seconds: SystemClock.now().as_second(),
                nanos: 0,
            }),
            template_id: template_id.clone(),
        };
        let enrolled = privacy.residents().enrol_face(request).await;
        assert_eq!(enrolled.expect("enrolled").into_inner().templates, 1);
    };
    let (old, new) = (
        Identity::new(rand::random(), DIMENSION),
        Identity::new(rand::random(), DIMENSION),
    );
    // Whose template it is as this replica knows it: of the old form, the new.
    let known = async |layout| {
        let mut outcomes = Vec::new();
        for face in [&old, &new] {
            let probe = face.probe(&mut rand::rng());
            let found = identify(layout, &mesh.estate.site_id, &probe).await;
            outcomes.push(found.expect("an answer").outcome());
        }
        outcomes
    };

    enrol(&old).await;
    let as_enrolled = [Outcome::Match, Outcome::Nobody];
    assert_eq!(known(&first).await, as_enrolled);
    eventually("the second one knows it", async || {
        known(&second).await == as_enrolled
    })
    .await;
    enrol(&new).await;
    let as_replaced = [Outcome::Nobody, Outcome::Match];
    assert_eq!(known(&first).await, as_replaced);
    eventually("the second one knows it anew", async || {
        known(&second).await == as_replaced
    })
    .await;
}
