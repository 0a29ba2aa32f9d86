//! A consent that is withdrawn takes the face with it and leaves the person.

use devmesh::{
    estate::{self, BARRIER, DOOR, PLATE},
    operator::Operator,
};
use mesh_tests::{Mesh, ProcessMesh, on_both_databases};
use propdev_proto::access::{
    Consent, EraseResidentRequest, ErasureReason, ListConsentsRequest, RecordConsentRequest,
    WithdrawConsentRequest,
};
use tonic::{Code, Status};

use crate::{
    erasure::claims,
    eventually,
    households::{enrol, moment, operator, reason},
};

on_both_databases!(
    a_withdrawal_erases_the_face_and_keeps_the_person,
    a_withdrawal_waits_for_the_biometric_store_and_is_finished,
    a_consent_is_recorded_once,
);

async fn withdraw(privacy: &Operator, resident: &str) -> Result<Vec<Consent>, Status> {
    let request = WithdrawConsentRequest {
        resident_id: resident.into(),
    };
    let withdrawn = privacy.consents().withdraw_consent(request).await?;
    Ok(withdrawn.into_inner().consents)
}

async fn consents_of(operator: &Operator, resident: &str) -> Vec<Consent> {
    let request = ListConsentsRequest {
        resident_id: resident.into(),
        ..ListConsentsRequest::default()
    };
    let listed = operator.consents().list_consents(request).await;
    listed.expect("listed").into_inner().consents
}

fn is_erased(consents: &[Consent]) -> bool {
    let erased = |consent: &Consent| consent.erased_at.is_some() && !consent.receipts.is_empty();
    !consents.is_empty() && consents.iter().all(erased)
}

/// By who withdrew, whoever asked the biometric store in the end.
async fn is_told_as_withdrawn(operator: &Operator, consents: &[Consent]) {
    let receipt = claims(operator, "biometric-svc", &consents[0].receipts[0]).await;
    assert_eq!(receipt["reason"], "consent_withdrawn", "{receipt}");
    assert_eq!(receipt["requested_by"], "operator/privacy/dev", "{receipt}");
}

async fn a_withdrawal_erases_the_face_and_keeps_the_person(mesh: Mesh) {
    let (privacy, viewer) = (operator(&mesh, "privacy"), operator(&mesh, "viewer"));
    let person = mesh.estate.resident.clone();
    let id = &person.resident_id;
    let partner = mesh.partner();
    let token = partner.token().await;
    let by_face = async || {
        let answer = partner.open_by_face(DOOR, &token, &person.probe()).await;
        answer.status
    };
    assert_eq!(by_face().await, 200);
    let before = consents_of(&privacy, id).await;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].reference, "signed form 1");
    assert!(before[0].withdrawn_at.is_none());
    let issued = partner.face_token(&person.probe()).await;
    let by_car = partner.plate_token(PLATE).await;
    assert!(partner.is_active(&issued).await && partner.is_active(&by_car).await);
    assert_eq!(consents_of(&viewer, id).await[0].reference, "");

    let withdrawn = withdraw(&privacy, id).await.expect("withdrawn");
    assert!(is_erased(&withdrawn), "{}", withdrawn.len());
    is_told_as_withdrawn(&privacy, &withdrawn).await;
    assert_eq!(by_face().await, 403);
    assert!(!partner.is_active(&issued).await && partner.is_active(&by_car).await);
    let refused = partner.open_door(DOOR, &issued).await;
    assert_eq!(refused.status, 403, "issued before: {refused:?}");
    assert_eq!(partner.ask_face_token(&person.probe()).await.status, 400);
    let by_plate = partner.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(by_plate.status, 200, "{by_plate:?}");
    // The same again answers the same.
    let again = withdraw(&privacy, id).await.expect("withdrawn");
    assert!(again == withdrawn && consents_of(&privacy, id).await == withdrawn);

    let old = before[0].consented_at.expect("a time");
    for (reference, at) in [("signed form 1", old), ("signed form 0", old)] {
        let refused = enrol(&privacy, id, person.identity, reference, at).await;
        let refused = refused.expect_err("withdrawn");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        assert_eq!(reason(&refused), "CONSENT_WITHDRAWN");
    }
    assert_eq!(by_face().await, 403);
    let fresh = moment(&mesh, 1);
    let templates = enrol(&privacy, id, person.identity, "signed form 3", fresh).await;
    assert_eq!(templates.expect("enrolled"), 1);
    assert_eq!(by_face().await, 200);

    // Who is erased in the end is erased with what came after.
    let request = EraseResidentRequest {
        resident_id: id.clone(),
        reason: ErasureReason::Requested.into(),
    };
    let erased = privacy.residents().erase_resident(request).await;
    assert_eq!(erased.expect("erased").into_inner().templates, 1);
    assert!(consents_of(&privacy, id).await.is_empty());
    assert_eq!(by_face().await, 403);
}

async fn a_withdrawal_waits_for_the_biometric_store_and_is_finished(mut mesh: Mesh) {
    let privacy = operator(&mesh, "privacy");
    let person = mesh.estate.leaver.clone();
    let id = &person.resident_id;
    mesh.stop("biometric-svc").await;
    let unfinished = withdraw(&privacy, id).await.expect_err("unfinished");
    assert_eq!(unfinished.code(), Code::Unavailable, "{unfinished:?}");
    assert_eq!(reason(&unfinished), "WITHDRAWAL_UNFINISHED");
    let listed = consents_of(&privacy, id).await;
    assert!(listed[0].withdrawn_at.is_some() && listed[0].erased_at.is_none());

    mesh.restart("biometric-svc").await;
    eventually("the templates are erased", async || {
        is_erased(&consents_of(&privacy, id).await)
    })
    .await;
    is_told_as_withdrawn(&privacy, &consents_of(&privacy, id).await).await;
    let token = mesh.partner().ask_face_token(&person.probe()).await;
    assert_eq!(token.status, 400);
}

async fn a_consent_is_recorded_once(mesh: Mesh) {
    let privacy = operator(&mesh, "privacy");
    let id = &mesh.estate.unpaid.resident_id;
    let record = async |reference: &str, ahead: i64| {
        let request = RecordConsentRequest {
            resident_id: id.clone(),
            reference: reference.into(),
            consented_at: Some(prost_types::Timestamp {
                seconds: 1_700_000_000 + ahead,
                nanos: 0,
            }),
        };
        let recorded = privacy.consents().record_consent(request).await?;
        Ok::<_, Status>(recorded.into_inner().consent.expect("a consent"))
    };
    let first = record("form 20", 0).await.expect("recorded");
    assert_eq!(first.reference, "form 20");
    assert!(record("form 20", 0).await.expect("recorded") == first);
    let later = record("form 20", 60).await.expect("recorded");
    assert_ne!(later.consent_id, first.consent_id);
    for (reference, ahead) in [("", 0), ("form 21", 1_700_000_000)] {
        let refused = record(reference, ahead).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument, "{reference}");
    }
    // That of the enrolment, and two.
    assert_eq!(consents_of(&privacy, id).await.len(), 3);
    withdraw(&privacy, id).await.expect("withdrawn");
    let refused = record("form 22", 0)
        .await
        .expect_err("before the withdrawal");
    assert_eq!(reason(&refused), "CONSENT_WITHDRAWN");
}

/// Where the process dies that withdraws.
const POINTS: [&str; 2] = ["withdrawal.after_intent", "withdrawal.after_biometrics"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_outlives_a_crash() {
    let mut mesh = ProcessMesh::start(None).await;
    let people = estate::populate(&mesh.layout, &mesh.estate, POINTS.len())
        .await
        .expect("people");
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    for (point, person) in POINTS.into_iter().zip(&people) {
        let id = &person.resident_id;
        let processes = &mut mesh.processes;
        processes.terminate("access-svc").await.expect("stopped");
        let started = processes.restart_to_die("access-svc", point).await;
        started.expect("started");
        withdraw(&privacy, id).await.expect_err(point);
        processes.wait_for_end("access-svc").await.expect("dead");
        processes.restart("access-svc").await.expect("restarted");
        eventually(point, async || is_erased(&consents_of(&privacy, id).await)).await;
        let consents = consents_of(&privacy, id).await;
        assert_eq!(
            (consents.len(), consents[0].receipts.len()),
            (1, 1),
            "{point}"
        );
    }
    mesh.processes.stop().await.expect("stopped");
}
