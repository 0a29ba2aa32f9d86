//! From one embedding model to the next, while doors open.

use devmesh::{
    estate::{DIMENSION, DOOR, MODEL, Person},
    operator::Operator,
};
use mesh::{Clock, SystemClock};
use mesh_tests::{Answer, Mesh, Partner, on_both_databases};
use partner_sim::face::{Identity, to_base64url};
use propdev_proto::{
    access::EnrolFaceRequest,
    biometric::{FaceVector, ModelCount},
};
use sea_orm::ConnectionTrait;
use serde_json::Value;

use crate::{database, propctl};

on_both_databases!(everybody_moves_to_another_model);

const BIOMETRIC: &str = "biometric-svc";
const NEXT: &str = "arcface-r200";
const NEXT_DIMENSION: usize = 256;

fn configured(name: &str, dimension: usize) -> String {
    format!(
        "[[models]]\nname = \"{name}\"\nversion = \"1\"\ndimension = {dimension}\n\
         threshold = 0.45\nmargin = 0.05\n"
    )
}

/// Puts these models in the place of those that are configured.
async fn serve(mesh: &mut Mesh, models: &[String]) {
    mesh.stop(BIOMETRIC).await;
    let file = mesh.layout.config_file(BIOMETRIC);
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let text = text.split("[[models]]").next().expect("the rest");
    std::fs::write(&file, format!("{text}{}", models.concat())).expect("written");
    mesh.restart(BIOMETRIC).await;
}

/// What `propctl model list` tells of a model.
async fn told_of(mesh: &Mesh, name: &str) -> Option<ModelCount> {
    let arguments = ["--output", "json", "model", "list"];
    let listed = propctl(&mesh.layout, "viewer", &arguments).await;
    assert!(listed.status.success(), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let models = listed.as_array().expect("models");
    let model = models.iter().find(|model| model["name"] == name)?;
    let number = |field: &str| model[field].as_u64().expect("a number");
    Some(ModelCount {
        name: name.into(),
        version: model["version"].as_str().unwrap_or_default().into(),
        templates: number("templates"),
        served: model["served"] == true,
        subjects_missing: number("subjects_missing"),
    })
}

async fn enrol_anew(mesh: &Mesh, person: &Person) {
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let vector = Identity::new(person.identity, NEXT_DIMENSION).enrolment();
    let request = EnrolFaceRequest {
        resident_id: person.resident_id.clone(),
        face: Some(FaceVector {
            model: NEXT.into(),
            values: vector.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }),
        consent_reference: "signed form 3".into(),
        consented_at: Some(prost_types::Timestamp {
            seconds: SystemClock.now().as_second(),
            nanos: 0,
        }),
        template_id: String::new(),
    };
    privacy
        .residents()
        .enrol_face(request)
        .await
        .expect("enrolled");
}

/// A token for a fresh picture, under a model.
async fn ask(partner: &Partner, person: &Person, model: &str, dimension: usize) -> Answer {
    let probe = Identity::new(person.identity, dimension).probe(&mut rand::rng());
    let vector = to_base64url(&probe);
    partner
        .ask_token(&[("face_model", model), ("face_vector", vector.as_str())])
        .await
}

async fn everybody_moves_to_another_model(mut mesh: Mesh) {
    let partner = mesh.partner();
    let people = [
        mesh.estate.resident.clone(),
        mesh.estate.unpaid.clone(),
        mesh.estate.leaver.clone(),
    ];
    let both = [
        configured(MODEL, DIMENSION),
        configured(NEXT, NEXT_DIMENSION),
    ];
    serve(&mut mesh, &both).await;
    let next = told_of(&mesh, NEXT).await.expect("served");
    assert_eq!((next.templates, next.subjects_missing), (0, 3));
    let old = told_of(&mesh, MODEL).await.expect("served");
    assert_eq!((old.templates, old.subjects_missing), (3, 0));

    // Side by side: who has moved is known by either, who has not by the old.
    let [moved, rest @ ..] = &people;
    enrol_anew(&mesh, moved).await;
    for (model, dimension) in [(MODEL, DIMENSION), (NEXT, NEXT_DIMENSION)] {
        let answer = ask(&partner, moved, model, dimension).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let opened = partner.open_door(DOOR, &answer.text("access_token")).await;
        assert_eq!(opened.status, 200, "{opened:?}");
    }
    let unmoved = &people[2];
    assert_eq!(ask(&partner, unmoved, MODEL, DIMENSION).await.status, 200);
    let unknown = ask(&partner, unmoved, NEXT, NEXT_DIMENSION).await;
    assert_eq!(unknown.told(), (400, "invalid_grant"));
    let next = told_of(&mesh, NEXT).await.expect("served");
    assert_eq!((next.templates, next.subjects_missing), (1, 2));

    for person in rest {
        enrol_anew(&mesh, person).await;
    }
    let next = told_of(&mesh, NEXT).await.expect("served");
    assert_eq!((next.templates, next.subjects_missing), (3, 0));

    let forget = ["model", "forget", MODEL, "1"];
    let refused = propctl(&mesh.layout, "privacy", &forget).await;
    assert!(!refused.status.success(), "it is served: {refused:?}");
    serve(&mut mesh, &both[1..]).await;
    assert_eq!(told_of(&mesh, MODEL).await.expect("kept").templates, 3);
    let forgotten = propctl(&mesh.layout, "privacy", &forget).await;
    assert!(forgotten.status.success(), "{forgotten:?}");
    assert_eq!(told_of(&mesh, MODEL).await, None);
    let db = database(&mesh.layout, BIOMETRIC).await;
    for table in ["templates", "rotations"] {
        let left = db
            .query_all_raw(sea_orm::Statement::from_string(
                db.get_database_backend(),
                format!("SELECT 1 FROM {table} WHERE model = '{MODEL}'"),
            ))
            .await;
        assert!(left.expect("rows").is_empty(), "{table}");
    }
    db.close().await.expect("closed");

    assert_eq!(ask(&partner, moved, MODEL, DIMENSION).await.status, 400);
    for person in &people {
        let answer = ask(&partner, person, NEXT, NEXT_DIMENSION).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
