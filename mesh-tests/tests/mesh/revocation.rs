//! What introspection tells and revocation ends.

use devmesh::{
    estate::{BARRIER, DOOR, PLATE},
    operator::Operator,
};
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::access::{EraseResidentRequest, SetResidentStateRequest};

use crate::eventually;

on_both_databases!(
    a_revoked_token_is_of_no_use,
    introspection_tells_a_client_of_its_own_partners_tokens,
    a_used_erased_or_suspended_subjects_token_is_inactive,
);

async fn a_revoked_token_is_of_no_use(mesh: Mesh) {
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    let token = partner.token().await;
    assert_eq!(
        partner.open_by_plate(BARRIER, &token, PLATE).await.status,
        200
    );
    // A stranger's revocation says nothing and does nothing.
    let answer = other
        .post_form("/oauth2/revoke", &[("token", &token)])
        .await;
    assert_eq!(answer.status, 200);
    assert!(partner.is_active(&token).await);

    let form = [
        ("token", token.as_str()),
        ("token_type_hint", "access_token"),
    ];
    let answer = partner.post_form("/oauth2/revoke", &form).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(!partner.is_active(&token).await);
    eventually("it opens nothing", async || {
        partner.open_by_plate(BARRIER, &token, PLATE).await.told() == (401, "invalid_token")
    })
    .await;
    assert_eq!(partner.post_form("/oauth2/revoke", &form).await.status, 200);
    let none = partner.post_form("/oauth2/revoke", &[]).await;
    assert_eq!(none.told(), (400, "invalid_request"));
    let mut stranger = partner.clone();
    stranger.client_secret = "wrong".into();
    for path in ["/oauth2/revoke", "/oauth2/introspect"] {
        let answer = stranger.post_form(path, &[("token", "x")]).await;
        assert_eq!(answer.told(), (401, "invalid_client"), "{path}");
    }
}

async fn introspection_tells_a_client_of_its_own_partners_tokens(mesh: Mesh) {
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    let token = partner.face_token(&mesh.estate.resident.probe()).await;
    let answer = partner
        .post_form("/oauth2/introspect", &[("token", &token)])
        .await;
    assert_eq!(answer.body["active"], true, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.body["client_id"], partner.client_id.as_str());
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["scope"], "door:open");
    assert!(answer.body["exp"].is_i64());
    let hidden = other
        .post_form("/oauth2/introspect", &[("token", &token)])
        .await;
    assert_eq!(hidden.body, serde_json::json!({"active": false}));
    let none = partner
        .post_form("/oauth2/introspect", &[("token", "x")])
        .await;
    assert_eq!(none.body, hidden.body);
}

async fn a_used_erased_or_suspended_subjects_token_is_inactive(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.face_token(&mesh.estate.resident.probe()).await;
    assert!(partner.is_active(&token).await);
    assert_eq!(partner.open_door(DOOR, &token).await.status, 200);
    assert!(!partner.is_active(&token).await, "it is used up");

    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let token = partner.face_token(&mesh.estate.unpaid.probe()).await;
    assert!(partner.is_active(&token).await);
    let set = |suspended| SetResidentStateRequest {
        resident_id: mesh.estate.unpaid.resident_id.clone(),
        suspended,
    };
    operator
        .residents()
        .set_resident_state(set(true))
        .await
        .expect("suspended");
    assert!(!partner.is_active(&token).await);
    assert_eq!(
        partner.open_door(DOOR, &token).await.told(),
        (403, "resident_suspended")
    );

    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let token = partner.face_token(&mesh.estate.leaver.probe()).await;
    let request = EraseResidentRequest {
        resident_id: mesh.estate.leaver.resident_id.clone(),
    };
    privacy
        .residents()
        .erase_resident(request)
        .await
        .expect("erased");
    assert!(!partner.is_active(&token).await);
    assert_eq!(
        partner.open_door(DOOR, &token).await.told(),
        (403, "subject_not_recognized")
    );
}
