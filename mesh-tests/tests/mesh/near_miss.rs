//! A plate that is nearly a resident's: denied like any other stranger's, and
//! suggested to whoever looks into the audit log.

use devmesh::{
    estate::{BARRIER, PLATE},
    operator::Operator,
};
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::{
    access::{AddVehicleRequest, EraseResidentRequest},
    auth::PlateReading,
};
use serde_json::{Value, json};

use crate::{
    audit_log::{entries, link},
    audit_tampering::verify,
    eventually, propctl,
};

on_both_databases!(
    a_near_miss_opens_nothing_and_is_suggested,
    what_may_have_been_two_is_not_suggested,
    a_suggestion_leaves_with_its_resident,
);

/// The resident's is A123BC77.
const WITH_ONE_MORE: &str = "A123BC777";
const ALIKE: &str = "A123BC71";

async fn suggestions(mesh: &Mesh) -> Vec<Value> {
    entries(mesh, |request| request.code = "near_miss".into()).await
}

/// Until there are so many, newest first.
async fn suggested(mesh: &Mesh, count: usize) -> Vec<Value> {
    eventually("suggestions", async || {
        suggestions(mesh).await.len() >= count
    })
    .await;
    let found = suggestions(mesh).await;
    assert_eq!(found.len(), count, "{found:?}");
    found
}

async fn deny(mesh: &Mesh, plate: &str) -> String {
    let partner = mesh.partner();
    let token = partner.token().await;
    let denied = partner.open_by_plate(BARRIER, &token, plate).await;
    assert_eq!(denied.told(), (403, "subject_not_recognized"), "{plate}");
    denied.text("opening_id")
}

/// The resident's name in logs.
async fn who(mesh: &Mesh) -> Value {
    let resident = mesh.estate.resident.resident_id.clone();
    let of_resident = entries(mesh, |request| {
        request.resident_id = resident;
        request.code = "vehicle_added".into();
    })
    .await;
    of_resident[0]["who"].clone()
}

async fn a_near_miss_opens_nothing_and_is_suggested(mesh: Mesh) {
    let opening = deny(&mesh, WITH_ONE_MORE).await;
    let found = suggested(&mesh, 1).await;
    assert_eq!(found[0]["kind"], "suggestion");
    assert_eq!(found[0]["opening"], json!(opening));
    assert_eq!(found[0]["device"], BARRIER);
    assert_eq!(found[0]["differs"], "inserted");
    eventually("the resident's own entry has its number", async || {
        let resident = mesh.estate.resident.resident_id.clone();
        let of_resident = entries(&mesh, |request| request.resident_id = resident).await;
        !of_resident.is_empty()
    })
    .await;
    let who = who(&mesh).await;
    assert_eq!(found[0]["who"], who);

    // What is no plate of anybody's is nearly nobody's.
    deny(&mesh, "X999XX99").await;
    deny(&mesh, ALIKE).await;
    let found = suggested(&mesh, 2).await;
    assert_eq!(found[0]["differs"], "confused");
    assert!(mesh.commands_to(BARRIER).await.is_empty());

    // A token that is refused leads there by its request; another partner's
    // sites have no such vehicle.
    let elsewhere = mesh.other_partner().ask_token(&[("plate", ALIKE)]).await;
    assert_eq!(elsewhere.told(), (400, "invalid_grant"));
    let refused = mesh.partner().ask_token(&[("plate", ALIKE)]).await;
    assert_eq!(refused.told(), (400, "invalid_grant"));
    let found = suggested(&mesh, 3).await;
    assert_eq!(found[0]["opening"], Value::Null);
    assert_eq!(found[0]["client"], json!(mesh.estate.client_id));
    eventually("the refusal is in the log", async || {
        let refusals = entries(&mesh, |request| request.code = "invalid_grant".into()).await;
        refusals
            .iter()
            .any(|refusal| refusal["request"] == found[0]["request"])
    })
    .await;

    // No plate stands in an entry; a link leads to the one that is registered.
    assert!(!json!(found).to_string().contains("A123BC"));
    let opened = link(&mesh, "privacy", &found[0]["number"]).await;
    let opened = opened.expect("opened");
    assert_eq!(opened.held, PLATE);
    assert_eq!(opened.resident_id, mesh.estate.resident.resident_id);
    let searched = propctl(
        &mesh.layout,
        "operator",
        &["audit", "search", "--opening", &opening, "--output", "json"],
    )
    .await;
    let searched: Value = serde_json::from_slice(&searched.stdout).expect("JSON");
    let searched = searched.as_array().expect("entries");
    assert!(
        searched
            .iter()
            .any(|found| { found["entry"]["code"] == "near_miss" && found["entry"]["who"] == who })
    );
}

async fn what_may_have_been_two_is_not_suggested(mesh: Mesh) {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let vehicle = AddVehicleRequest {
        resident_id: mesh.estate.leaver.resident_id.clone(),
        plate: Some(PlateReading {
            number: "A124BC77".into(),
            country: String::new(),
        }),
        ..AddVehicleRequest::default()
    };
    let added = operator.holdings().add_vehicle(vehicle).await;
    added.expect("a vehicle");
    deny(&mesh, "A125BC77").await;
    // This one is nearly one of them alone.
    let opening = deny(&mesh, "A124BC777").await;
    let found = suggested(&mesh, 1).await;
    assert_eq!(found[0]["opening"], json!(opening));
}

async fn a_suggestion_leaves_with_its_resident(mesh: Mesh) {
    let opening = deny(&mesh, WITH_ONE_MORE).await;
    let suggestion = suggested(&mesh, 1).await.remove(0);
    let of_opening = entries(&mesh, |request| request.opening_id = opening).await;
    let decision = of_opening.iter().find(|entry| entry["kind"] == "decision");
    let decision = decision.expect("a decision");
    let held = async |entry: &Value| {
        let opened = link(&mesh, "privacy", &entry["number"]).await;
        opened.expect("opened").held
    };
    assert_eq!(held(decision).await, WITH_ONE_MORE);
    assert_eq!(held(&suggestion).await, PLATE);

    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let request = EraseResidentRequest {
        resident_id: mesh.estate.resident.resident_id.clone(),
        ..EraseResidentRequest::default()
    };
    let erased = privacy.residents().erase_resident(request).await;
    erased.expect("erased");
    for entry in [decision, &suggestion] {
        assert_eq!(held(entry).await, "");
    }
    let (code, report) = verify(&mesh, &[]).await;
    assert_eq!(code, 0, "{report}");
    // Nobody has such a vehicle any more.
    deny(&mesh, WITH_ONE_MORE).await;
    deny(&mesh, ALIKE).await;
    assert_eq!(suggestions(&mesh).await.len(), 1);
}
