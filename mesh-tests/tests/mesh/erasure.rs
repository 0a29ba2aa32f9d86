//! Nobody erased comes back, whatever dies on the way.

use std::{collections::BTreeSet, fs};

use devmesh::{
    estate::{self, BARRIER, DOOR, Person},
    layout::{DESTROYED_BY, INFORMATION_SYSTEM, OPERATOR, PROCESSOR},
    operator::Operator,
};
use futures::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use mesh::policy::Policy;
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::{
    access::{
        AddCredentialRequest, AddVehicleRequest, CredentialKind, EraseResidentRequest,
        EraseResidentResponse, Erasure, ErasureReason, ErasureStep, GetErasureRequest,
        ListErasuresRequest, ListEventsRequest, ListGrantsRequest, ListHoldingsRequest,
        get_erasure_request::Whom,
    },
    auth::PlateReading,
    biometric::{EraseSubjectRequest, biometric_service_client::BiometricServiceClient},
    mesh::{CreateBackupRequest, GetReceiptKeysRequest, RestoreBackupRequest, RotateKeysRequest},
};
use serde_json::{Value, json};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{eventually, matrix::channel};

on_both_databases!(
    an_erasure_waits_for_the_biometric_store_and_is_finished,
    a_restore_erases_again_before_it_serves,
    an_erasure_is_final_when_the_epochs_have_ended,
    what_is_asked_for_several_times_at_once_is_erased_once,
);

/// Of the person who leaves.
const PLATE: &str = "C789OP197";
const KEY: &str = "key-of-the-leaver";
const KEY_EVENTS: &str = "/v1/webhooks/intercom/key-openings";

fn operator(mesh: &Mesh, role: &str) -> Operator {
    Operator::connect(&mesh.layout, role).expect("an operator")
}

/// A vehicle, and a key that was used.
async fn settle_in(mesh: &Mesh, person: &Person) {
    let mut holdings = operator(mesh, "operator").holdings();
    let vehicle = AddVehicleRequest {
        resident_id: person.resident_id.clone(),
        plate: Some(PlateReading {
            number: PLATE.into(),
            country: String::new(),
        }),
        ..AddVehicleRequest::default()
    };
    holdings.add_vehicle(vehicle).await.expect("a vehicle");
    let key = AddCredentialRequest {
        resident_id: person.resident_id.clone(),
        partner_id: mesh.estate.partner_id.clone(),
        kind: CredentialKind::Key.into(),
        credential_id: KEY.into(),
        site_id: mesh.estate.site_id.clone(),
        ..AddCredentialRequest::default()
    };
    holdings.add_credential(key).await.expect("a key");
    let partner = mesh.partner();
    let token = partner.token().await;
    let event = json!({"key_id": KEY, "opened_at": "2100-01-01T00:00:00Z"});
    let told = partner.post(KEY_EVENTS, &token, Some(&event)).await;
    assert_eq!(told.status, 202, "{told:?}");
}

pub(crate) async fn erase(
    operator: &Operator,
    person: &Person,
) -> Result<EraseResidentResponse, Status> {
    let request = EraseResidentRequest {
        resident_id: person.resident_id.clone(),
        reason: ErasureReason::MovedOut.into(),
    };
    let answer = operator.residents().erase_resident(request).await?;
    Ok(answer.into_inner())
}

/// What became of an erasure, once a service that has just started says so.
pub(crate) async fn erasure_of(operator: &Operator, whom: Whom) -> Erasure {
    let mut told = None;
    eventually("an erasure", async || {
        let request = GetErasureRequest {
            whom: Some(whom.clone()),
        };
        match operator.erasures().get_erasure(request).await {
            Ok(answer) => told = answer.into_inner().erasure,
            Err(status) => {
                let passing = [Code::Unavailable, Code::DeadlineExceeded];
                assert!(passing.contains(&status.code()), "{status:?}");
            }
        }
        told.is_some()
    })
    .await;
    told.expect("one")
}

fn receipts_from(erasure: &Erasure, service: &str) -> usize {
    let receipts = erasure.receipts.iter();
    receipts.filter(|one| one.service == service).count()
}

pub(crate) fn is_receipted(erasure: &Erasure) -> bool {
    erasure.step >= ErasureStep::ReceiptGiven as i32
}

pub(crate) fn resident(person: &Person) -> Whom {
    Whom::ResidentId(person.resident_id.clone())
}

async fn back_up(operator: &Operator, service: &str) -> String {
    let mut custody = operator.custody(service);
    let taken = custody.create_backup(CreateBackupRequest {}).await;
    taken.expect("taken").into_inner().backup.expect("one").path
}

/// What a receipt says, once its signature is verified by the key that its
/// service publishes.
pub(crate) async fn claims(operator: &Operator, service: &str, jws: &str) -> Value {
    let mut custody = operator.custody(service);
    let keys = custody.get_receipt_keys(GetReceiptKeysRequest {}).await;
    let keys: JwkSet =
        serde_json::from_str(&keys.expect("keys").into_inner().jwks).expect("a key set");
    let header = jsonwebtoken::decode_header(jws).expect("a header");
    assert_eq!(header.typ.as_deref(), Some("propdev-receipt+jwt"));
    let key = keys.find(&header.kid.expect("a kid")).expect("its key");
    let key = DecodingKey::from_jwk(key).expect("a key");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let read = jsonwebtoken::decode::<Value>(jws, &key, &validation);
    read.expect("a receipt").claims
}

/// The receipts of one service, the oldest first.
pub(crate) async fn receipts_of(
    operator: &Operator,
    erasure: &Erasure,
    service: &str,
) -> Vec<Value> {
    let mut all = Vec::new();
    for receipt in &erasure.receipts {
        if receipt.service == service {
            all.push(claims(operator, service, &receipt.jws).await);
        }
    }
    all
}

/// Besides what, how and when, which each service says in its own way.
fn says_what_an_act_must(receipt: &Value) {
    let party = |[name, address]: [&str; 2]| json!({ "name": name, "address": address });
    assert_eq!(receipt["operator"], party(OPERATOR), "{receipt}");
    assert_eq!(receipt["processor"], party(PROCESSOR), "{receipt}");
    let [name, post] = DESTROYED_BY;
    let official = json!({ "name": name, "post": post });
    assert_eq!(receipt["destroyed_by"], official, "{receipt}");
    assert_eq!(
        receipt["information_system"], INFORMATION_SYSTEM,
        "{receipt}"
    );
    assert_eq!(receipt["requested_by"], "operator/privacy/dev", "{receipt}");
    assert_eq!(receipt["reason"], "moved_out", "{receipt}");
}

async fn an_erasure_waits_for_the_biometric_store_and_is_finished(mut mesh: Mesh) {
    let leaver = mesh.estate.leaver.clone();
    settle_in(&mesh, &leaver).await;
    let partner = mesh.partner();
    let held = partner.face_token(&leaver.probe()).await;
    let (privacy, viewer) = (operator(&mesh, "privacy"), operator(&mesh, "viewer"));

    mesh.stop("biometric-svc").await;
    let refused = erase(&privacy, &leaver).await.expect_err("unfinished");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let (reason, metadata) = mesh::error::reason(&refused).expect("a reason");
    assert_eq!(reason, "ERASURE_UNFINISHED");
    let pseudonym = metadata["pseudonym"].clone();

    // The rights are gone already.
    assert_eq!(
        partner.open_door(DOOR, &held).await.told(),
        (403, "subject_not_recognized")
    );
    let token = partner.token().await;
    assert_eq!(
        partner.open_by_plate(BARRIER, &token, PLATE).await.told(),
        (403, "subject_not_recognized")
    );
    let told = erasure_of(&viewer, resident(&leaver)).await;
    assert_eq!(told.step(), ErasureStep::RightsEnded);
    assert!(told.erased_at.is_none() && told.final_at.is_none());
    assert!(told.receipts.is_empty());
    let unfinished = ListErasuresRequest {
        only_unfinished: true,
        ..ListErasuresRequest::default()
    };
    let listed = viewer.erasures().list_erasures(unfinished).await;
    assert_eq!(listed.expect("listed").into_inner().erasures, [told]);

    mesh.restart("biometric-svc").await;
    let whom = || Whom::Pseudonym(pseudonym.clone());
    eventually("the erasure is finished", async || {
        is_receipted(&erasure_of(&viewer, whom()).await)
    })
    .await;
    let erasure = erasure_of(&viewer, whom()).await;
    assert_eq!(erasure.resident_id, leaver.resident_id);
    assert_eq!(erasure.reason(), ErasureReason::MovedOut);
    assert_eq!(erasure.requested_by, "operator/privacy/dev");
    assert_eq!(
        (
            erasure.counts.unwrap_or_default().templates,
            erasure.counts.unwrap_or_default().vehicles
        ),
        (1, 1)
    );
    assert_eq!(
        (
            erasure.counts.unwrap_or_default().credentials,
            erasure.counts.unwrap_or_default().grants
        ),
        (1, 3)
    );

    let own = receipts_of(&viewer, &erasure, "access-svc").await;
    assert_eq!(own[0]["sub"], json!(pseudonym));
    assert_eq!(own[0]["reason"], "moved_out");
    assert_eq!(own[0]["ledger_number"], 1);
    assert_eq!(own[0]["categories"]["event_credentials"], 1);
    let theirs = receipts_of(&viewer, &erasure, "biometric-svc").await;
    assert!(!theirs.is_empty());
    for receipt in own.iter().chain(&theirs) {
        says_what_an_act_must(receipt);
        let text = receipt.to_string();
        assert!(text.contains(&pseudonym), "{text}");
        for secret in [leaver.resident_id.as_str(), "Vera", PLATE, KEY] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    // The same again answers the same.
    let again = erase(&privacy, &leaver).await.expect("erased");
    assert_eq!(again.erased_at, erasure.erased_at);
    assert_eq!(again.erasure.expect("the whole").receipts, erasure.receipts);

    // Nothing is left but the pseudonym.
    let grants = ListGrantsRequest {
        resident_id: leaver.resident_id.clone(),
        ..ListGrantsRequest::default()
    };
    let grants = viewer.grants().list_grants(grants).await.expect("grants");
    assert!(grants.into_inner().grants.is_empty());
    let holdings = ListHoldingsRequest {
        resident_id: leaver.resident_id.clone(),
        ..ListHoldingsRequest::default()
    };
    let holdings = viewer.holdings().list_holdings(holdings).await;
    assert!(holdings.expect("holdings").into_inner().holdings.is_empty());
    let mut all = viewer.events();
    let events = all.list_events(ListEventsRequest::default()).await;
    let events = events.expect("events").into_inner().events;
    assert!(
        events
            .iter()
            .any(|event| event.audit_pseudonym == pseudonym)
    );
    assert_eq!(
        partner.ask_face_token(&leaver.probe()).await.told(),
        (400, "invalid_grant")
    );
}

async fn a_restore_erases_again_before_it_serves(mut mesh: Mesh) {
    let leaver = mesh.estate.leaver.clone();
    settle_in(&mesh, &leaver).await;
    let privacy = operator(&mesh, "privacy");
    let path = back_up(&privacy, "access-svc").await;
    let erased = erase(&privacy, &leaver).await.expect("erased");
    let erased = erased.erasure.expect("the whole");
    assert_eq!(erased.step(), ErasureStep::ReceiptGiven, "a copy is left");

    mesh.stop("access-svc").await;
    mesh.empty_store("access-svc");
    mesh.restart("access-svc").await;
    // What strangers and auth-svc tell meanwhile does not fill it.
    let partner = mesh.partner();
    let token = partner.token().await;
    let event = json!({"key_id": KEY, "opened_at": "2026-11-24T06:00:00Z"});
    let told = partner.post(KEY_EVENTS, &token, Some(&event)).await;
    assert_eq!(told.told(), (503, "unavailable"));

    let restored = RestoreBackupRequest { path };
    let restored = privacy.custody("access-svc").restore_backup(restored).await;
    restored.expect("restored");
    // It has ended by itself; whoever watches it starts it again.
    mesh.stop("access-svc").await;
    mesh.restart("access-svc").await;

    let mut again = Erasure::default();
    eventually("the biometric store's receipt is there again", async || {
        again = erasure_of(&privacy, resident(&leaver)).await;
        receipts_from(&again, "biometric-svc") > 0
    })
    .await;
    assert!(again.replayed && is_receipted(&again));
    assert_eq!(again.pseudonym, erased.pseudonym);
    assert_eq!(again.erased_at, erased.erased_at);
    assert_eq!(
        (
            again.counts.unwrap_or_default().vehicles,
            again.counts.unwrap_or_default().credentials
        ),
        (1, 1)
    );
    let receipts = receipts_of(&privacy, &again, "access-svc").await;
    assert_eq!(receipts[0]["ledger_number"], 1);
    assert_eq!(receipts[0]["replayed"], true);
    // Who ordered it, and why, went with the store.
    assert_eq!(receipts[0].get("requested_by"), None);
    assert_eq!(receipts[0].get("reason"), None);
    assert_eq!(receipts[0]["operator"]["name"], OPERATOR[0]);
    let theirs = receipts_of(&privacy, &again, "biometric-svc").await;
    assert_eq!(theirs[0]["sub"], json!(again.pseudonym));
    says_what_an_act_must(&theirs[0]);

    let stranger = partner.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(stranger.told(), (403, "subject_not_recognized"));
    let known = partner.open_by_plate(BARRIER, &token, estate::PLATE).await;
    assert_eq!(known.status, 200, "{known:?}");
    let told = partner.post(KEY_EVENTS, &token, Some(&event)).await;
    assert_eq!(told.status, 202, "{told:?}");
}

async fn an_erasure_is_final_when_the_epochs_have_ended(mesh: Mesh) {
    let leaver = mesh.estate.leaver.clone();
    let privacy = operator(&mesh, "privacy");
    for service in ["access-svc", "biometric-svc"] {
        back_up(&privacy, service).await;
    }
    let erased = erase(&privacy, &leaver).await.expect("erased");
    let erased = erased.erasure.expect("the whole");
    assert_eq!(erased.final_at, None);
    let first = receipts_of(&privacy, &erased, "access-svc").await;
    assert_eq!(first[0]["final_at"], Value::Null);

    for service in ["access-svc", "biometric-svc"] {
        let rotated = privacy
            .custody(service)
            .rotate_keys(RotateKeysRequest { after_epoch: 1 })
            .await
            .expect("rotated")
            .into_inner();
        assert!(rotated.old_epochs_destroyed, "{service}");
    }
    let mut erasure = Erasure::default();
    eventually("it is final everywhere", async || {
        erasure = erasure_of(&privacy, resident(&leaver)).await;
        let both = ["access-svc", "biometric-svc"];
        erasure.final_at.is_some() && both.iter().all(|one| receipts_from(&erasure, one) == 2)
    })
    .await;
    assert_eq!(erasure.step(), ErasureStep::Final);
    for service in ["access-svc", "biometric-svc"] {
        let receipts = receipts_of(&privacy, &erasure, service).await;
        assert_eq!(receipts.len(), 2, "{service}");
        assert!(!receipts[1]["final_at"].is_null(), "{service}");
        for receipt in &receipts {
            says_what_an_act_must(receipt);
        }
    }
    let unfinished = ListErasuresRequest {
        only_unfinished: true,
        ..ListErasuresRequest::default()
    };
    let listed = privacy.erasures().list_erasures(unfinished).await;
    assert!(listed.expect("listed").into_inner().erasures.is_empty());
}

/// As when the caller asks again while the first erasure is under way.
async fn what_is_asked_for_several_times_at_once_is_erased_once(mesh: Mesh) {
    const BIOMETRIC: &str = "biometric-svc";
    let policy = Policy::built_in().expect("contracts");
    let channel = channel(&mesh.layout, "svc/access-svc", BIOMETRIC, &policy);
    let request = EraseSubjectRequest {
        subject_id: Uuid::new_v4().to_string(),
        pseudonym: Uuid::new_v4().to_string(),
        ..EraseSubjectRequest::default()
    };
    let erasures = (0..16).map(|_| {
        let mut client = BiometricServiceClient::new(channel.clone());
        let request = request.clone();
        async move { client.erase_subject(request).await }
    });
    let receipts: BTreeSet<String> = join_all(erasures)
        .await
        .into_iter()
        .map(|answer| answer.expect("erased").into_inner().receipt)
        .collect();
    assert_eq!(receipts.len(), 1);
    let ledger = fs::read_to_string(mesh.layout.ledger_file(BIOMETRIC)).expect("a ledger");
    assert_eq!(ledger.lines().count(), 2, "its beginning and one erasure");
}
