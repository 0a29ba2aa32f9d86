//! What does not open, and why.

use std::collections::HashSet;

use devmesh::{
    estate::{BARRIER, DOOR, DOOR2, OTHER_DOOR, UNPAID_PLATE},
    operator::Operator,
};
use futures::future::join_all;
use mesh_tests::{Mesh, Partner, on_both_databases};
use propdev_proto::access::{
    EraseResidentRequest, ListGrantsRequest, ListOpeningsRequest, RevokeGrantRequest,
    SetDeviceStateRequest, SetLockdownRequest, SetResidentStateRequest,
};
use reqwest::Method;
use serde_json::json;

use crate::eventually;

on_both_databases!(
    strangers_and_debtors_stay_outside,
    the_contracts_order_names_the_refusal,
    a_token_by_face_opens_once,
    one_hundred_uses_of_one_token_give_one_command,
    a_captured_picture_is_of_no_use,
    an_idempotency_key_opens_once,
    a_repeat_is_told_what_the_first_was_told,
    a_repeat_after_a_step_of_the_clock_loses_no_command,
    another_partners_devices_do_not_exist,
    a_device_bound_token_opens_that_device,
    the_erased_are_strangers,
);

async fn strangers_and_debtors_stay_outside(mesh: Mesh) {
    let partner = mesh.partner();
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    let refused = partner.ask_face_token(&stranger).await;
    assert_eq!(refused.told(), (400, "invalid_grant"));
    assert_eq!(refused.headers["cache-control"], "no-store");

    let token = partner.token().await;
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    let refused = partner.open_by_face(DOOR, &token, &stranger).await;
    assert_eq!(refused.told(), (403, "subject_not_recognized"));
    let refused = partner
        .open_by_face(DOOR, &token, &mesh.estate.unpaid.probe())
        .await;
    assert_eq!(refused.told(), (403, "service_unpaid"));
    let refused = partner.open_by_plate(BARRIER, &token, UNPAID_PLATE).await;
    assert_eq!(refused.told(), (403, "service_unpaid"));
    // Recognised all the same: the opening says why not.
    assert_eq!(
        partner
            .ask_face_token(&mesh.estate.unpaid.probe())
            .await
            .status,
        200
    );
    assert!(mesh.sim.commands().await.expect("commands").is_empty());
}

async fn the_contracts_order_names_the_refusal(mesh: Mesh) {
    let partner = mesh.partner();
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let token = partner.token().await;
    let refusal = async || {
        let answer = partner
            .open_by_face(DOOR, &token, &mesh.estate.unpaid.probe())
            .await;
        answer.told().1.to_owned()
    };
    assert_eq!(refusal().await, "service_unpaid");
    let resident_id = mesh.estate.unpaid.resident_id.clone();
    let request = ListGrantsRequest {
        resident_id: resident_id.clone(),
        ..Default::default()
    };
    let grants = operator
        .grants()
        .list_grants(request)
        .await
        .expect("grants")
        .into_inner()
        .grants;
    for grant in grants.into_iter().filter(|grant| grant.device_id == DOOR) {
        let request = RevokeGrantRequest {
            grant_id: grant.grant_id,
            ..Default::default()
        };
        operator
            .grants()
            .revoke_grant(request)
            .await
            .expect("revoked");
    }
    assert_eq!(refusal().await, "no_grant");
    let request = SetResidentStateRequest {
        resident_id,
        suspended: true,
    };
    operator
        .residents()
        .set_resident_state(request)
        .await
        .expect("suspended");
    assert_eq!(refusal().await, "resident_suspended");
    let request = SetDeviceStateRequest {
        partner_id: mesh.estate.partner_id.clone(),
        device_id: DOOR.into(),
        disabled: true,
    };
    operator
        .devices()
        .set_device_state(request)
        .await
        .expect("disabled");
    assert_eq!(refusal().await, "device_disabled");
    let request = SetLockdownRequest {
        site_id: mesh.estate.site_id.clone(),
        lockdown: true,
    };
    operator
        .sites()
        .set_lockdown(request)
        .await
        .expect("locked down");
    assert_eq!(refusal().await, "lockdown");
}

async fn a_token_by_face_opens_once(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.face_token(&mesh.estate.resident.probe()).await;
    let first = partner.open_door(DOOR, &token).await;
    assert_eq!(first.status, 200);
    let second = partner.open_door(DOOR2, &token).await;
    assert_eq!(second.told(), (401, "token_already_used"));
    assert_eq!(second.body["opening_id"], first.body["opening_id"]);
    // A denial uses it up as well.
    let token = partner.face_token(&mesh.estate.unpaid.probe()).await;
    assert_eq!(
        partner.open_door(DOOR, &token).await.told(),
        (403, "service_unpaid")
    );
    assert_eq!(
        partner.open_door(DOOR, &token).await.told(),
        (401, "token_already_used")
    );
}

async fn one_hundred_uses_of_one_token_give_one_command(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.face_token(&mesh.estate.resident.probe()).await;
    let answers = join_all((0..100).map(|_| partner.open_door(DOOR, &token))).await;
    let opened = answers.iter().filter(|answer| answer.status == 200).count();
    let used = answers
        .iter()
        .filter(|a| a.told() == (401, "token_already_used"))
        .count();
    assert_eq!((opened, used), (1, 99));
    assert_eq!(mesh.commands_to(DOOR).await.len(), 1);
}

async fn a_captured_picture_is_of_no_use(mesh: Mesh) {
    let partner = mesh.partner();
    // With tokens: a retry shares the single use of the first.
    let probe = mesh.estate.resident.probe();
    let (first, retry) = (
        partner.face_token(&probe).await,
        partner.face_token(&probe).await,
    );
    assert_eq!(partner.open_door(DOOR, &first).await.status, 200);
    let shared = partner.open_door(DOOR, &retry).await;
    assert_eq!(shared.told(), (401, "token_already_used"));
    // With the call, and across the flows.
    let token = partner.token().await;
    let replay = partner.open_by_face(DOOR, &token, &probe).await;
    assert_eq!(replay.told(), (403, "subject_not_recognized"));
    // Another partner never profits from what this one saw.
    let probe = mesh.estate.resident.probe();
    assert_eq!(partner.open_by_face(DOOR, &token, &probe).await.status, 200);
    let elsewhere = mesh.other_partner().ask_face_token(&probe).await;
    assert_eq!(elsewhere.told(), (400, "invalid_grant"));
}

async fn an_idempotency_key_opens_once(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let body = json!({"plate": {"number": devmesh::estate::PLATE}}).to_string();
    let open = |key: &str, body: &str| {
        let request = partner
            .request(Method::POST, &format!("/v1/barriers/{BARRIER}/open"))
            .bearer_auth(&token)
            .header("Idempotency-Key", key)
            .header("Content-Type", "application/json")
            .body(body.to_owned());
        Partner::send(request)
    };
    let first = open("a", &body).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let repeat = open("a", &body).await;
    assert_eq!((repeat.status, &repeat.body), (200, &first.body));
    assert_eq!(repeat.headers["idempotent-replayed"], "true");
    let mismatch = open("a", &format!("{body} ")).await;
    assert_eq!(mismatch.told(), (422, "idempotency_mismatch"));

    let many = join_all((0..20).map(|_| open("b", &body))).await;
    let ids: HashSet<String> = many
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.text("opening_id"))
        .collect();
    assert_eq!(ids.len(), 1);
    assert!(
        many.iter()
            .all(|a| a.status == 200 || a.told() == (409, "in_progress"))
    );
    assert_eq!(mesh.commands_to(BARRIER).await.len(), 2);
}

async fn a_repeat_is_told_what_the_first_was_told(mesh: Mesh) {
    let partner = mesh.partner();
    let operator = Operator::connect(&mesh.layout, "viewer").expect("a viewer");
    let token = partner.token().await;
    let body = json!({"plate": {"number": devmesh::estate::PLATE}});
    let open = |key: &'static str| {
        let request = partner
            .request(Method::POST, &format!("/v1/barriers/{BARRIER}/open"))
            .bearer_auth(&token)
            .header("Idempotency-Key", key)
            .json(&body);
        Partner::send(request)
    };
    let told = |answer: &mesh_tests::Answer| {
        let (status, code) = answer.told();
        (status, code.to_owned(), answer.text("opening_id"))
    };

    // The partner answers after the command has expired, before the edge gives up.
    mesh.sim
        .behave(&json!({"mode": "slow", "delay_ms": 5_500}))
        .await
        .expect("told");
    let (first, repeat) = tokio::join!(open("slow"), async {
        eventually("the first is decided", async || {
            let request = ListOpeningsRequest::default();
            let listed = operator.openings().list_openings(request).await;
            !listed.expect("openings").into_inner().openings.is_empty()
        })
        .await;
        open("slow").await
    });
    assert!(!first.text("opening_id").is_empty(), "{first:?}");
    if repeat.told() != (409, "in_progress") {
        assert_eq!(told(&repeat), told(&first));
    }
    assert_eq!(told(&open("slow").await), told(&first));

    mesh.sim
        .behave(&json!({"mode": "hang"}))
        .await
        .expect("told");
    let first = open("hang").await;
    assert_eq!(first.told(), (504, "partner_timeout"));
    let opening_id = first.text("opening_id");
    let commands = mesh.commands_to(BARRIER).await;
    let command = commands
        .iter()
        .find(|command| command["opening_id"] == opening_id.as_str())
        .expect("the command");
    let confirmation = json!({
        "command_id": command["command_id"], "opening_id": opening_id,
        "status": "opened", "at": "2026-11-24T06:00:00Z",
    });
    let confirmed = partner
        .post("/v1/webhooks/commands", &token, Some(&confirmation))
        .await;
    assert_eq!(confirmed.status, 202, "{confirmed:?}");
    let now = partner
        .get(&format!("/v1/openings/{opening_id}"), &token)
        .await;
    assert_eq!(now.body["command"]["status"], "opened");
    let repeat = open("hang").await;
    assert_eq!(told(&repeat), told(&first));
    assert_eq!(repeat.headers["idempotent-replayed"], "true");
}

async fn a_repeat_after_a_step_of_the_clock_loses_no_command(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let press = async || {
        let request = partner
            .request(Method::POST, &format!("/v1/barriers/{BARRIER}/open"))
            .bearer_auth(&token)
            .header("Idempotency-Key", "step")
            .json(&json!({"plate": {"number": devmesh::estate::PLATE}}));
        Partner::send(request).await
    };
    let slow = json!({"mode": "slow", "delay_ms": 2_000});
    mesh.sim.behave(&slow).await.expect("told");
    let (first, repeat) = tokio::join!(press(), async {
        eventually("the command is under way", async || {
            !mesh.commands_to(BARRIER).await.is_empty()
        })
        .await;
        // Past its expiry and every grace, as the clock on the wall has it.
        mesh.clock.advance(20);
        press().await
    });
    assert_eq!(first.status, 200, "{first:?}");
    if repeat.told() != (409, "in_progress") {
        assert_eq!(repeat.told(), first.told(), "{repeat:?}");
        assert_eq!(repeat.text("opening_id"), first.text("opening_id"));
    }
    assert_eq!(mesh.commands_to(BARRIER).await.len(), 1);
}

async fn another_partners_devices_do_not_exist(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let probe = mesh.estate.resident.probe();
    let foreign = partner.open_by_face(OTHER_DOOR, &token, &probe).await;
    let absent = partner.open_by_face("no-such-door", &token, &probe).await;
    assert_eq!(foreign.told(), (404, "device_not_found"));
    let without_request_id = |answer: &mesh_tests::Answer| {
        let mut body = answer.body.clone();
        body["request_id"] = json!(null);
        body
    };
    assert_eq!(without_request_id(&foreign), without_request_id(&absent));
    assert!(foreign.body.get("opening_id").is_none());
    // A barrier is no door.
    let confused = partner.open_by_face(BARRIER, &token, &probe).await;
    assert_eq!(confused.told(), (404, "device_not_found"));
}

async fn a_device_bound_token_opens_that_device(mesh: Mesh) {
    let partner = mesh.partner();
    let evidence = partner_sim::face::to_base64url(&mesh.estate.resident.probe());
    let ask = |device: &'static str| {
        let evidence = evidence.clone();
        let partner = partner.clone();
        async move {
            let parameters = [
                ("face_vector", evidence.as_str()),
                ("face_model", "arcface-r100"),
                ("device_id", device),
            ];
            partner.ask_token(&parameters).await
        }
    };
    for wrong in [OTHER_DOOR, BARRIER, "no-such-door"] {
        assert_eq!(ask(wrong).await.told(), (400, "invalid_request"), "{wrong}");
    }
    let answer = ask(DOOR).await;
    let token = answer.text("access_token");
    let refused = partner.open_door(DOOR2, &token).await;
    assert_eq!(refused.told(), (403, "insufficient_scope"));
    assert_eq!(partner.open_door(DOOR, &token).await.status, 200);
}

async fn the_erased_are_strangers(mesh: Mesh) {
    let partner = mesh.partner();
    let leaver = &mesh.estate.leaver;
    let held = partner.face_token(&leaver.probe()).await;
    let request = EraseResidentRequest {
        resident_id: leaver.resident_id.clone(),
        ..EraseResidentRequest::default()
    };
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("a privacy officer");
    let erased = privacy
        .residents()
        .erase_resident(request.clone())
        .await
        .expect("erased");
    let erased = erased.into_inner();
    assert_eq!(erased.templates, 1);
    let again = privacy.residents().erase_resident(request).await;
    assert_eq!(
        again.expect("the same").into_inner().erased_at,
        erased.erased_at
    );
    let nobody = EraseResidentRequest {
        resident_id: uuid::Uuid::nil().to_string(),
        ..EraseResidentRequest::default()
    };
    let nobody = privacy.residents().erase_resident(nobody).await;
    assert_eq!(nobody.expect_err("nobody").code(), tonic::Code::NotFound);
    assert_eq!(
        partner.open_door(DOOR, &held).await.told(),
        (403, "subject_not_recognized")
    );
    let refused = partner.ask_face_token(&leaver.probe()).await;
    assert_eq!(refused.told(), (400, "invalid_grant"));
}
