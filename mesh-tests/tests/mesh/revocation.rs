//! What introspection tells and revocation ends.

use devmesh::{
    estate::{BARRIER, DOOR, PLATE},
    operator::Operator,
};
use mesh::{Clock, SystemClock};
use mesh_tests::{Database, Mesh, Partner, on_both_databases};
use propdev_proto::access::{EraseResidentRequest, SetResidentStateRequest};
use sea_orm::ConnectionTrait;

use crate::{database, eventually, within_the_promise};

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
    within_the_promise("it opens nothing", async || {
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
        ..EraseResidentRequest::default()
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

/// So many live revocations of a client, as a replica would have stored them.
async fn revoke_many(mesh: &Mesh, client_id: &str, count: u32) {
    let db = database(&mesh.layout, "auth-svc").await;
    let end = SystemClock.now().as_microsecond() + 3_600_000_000;
    let insert = format!(
        "INSERT INTO revocations (jti, expires_at, number, client_id) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         SELECT randomblob(16), {end}, (SELECT revocations FROM state_version) + i, '{client_id}' \
         FROM n"
    );
    let count = format!("UPDATE state_version SET revocations = revocations + {count}");
    for statement in [insert, count] {
        db.execute_unprepared(&statement).await.expect("executed");
    }
}

/// Told one by one they fill no message, however many live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_revocations_are_in_force() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let partner = mesh.partner();
    let (good, bad) = (partner.token().await, partner.token().await);
    revoke_many(&mesh, "another", 120_000).await;
    eventually("one more is taken", async || {
        let form = [("token", bad.as_str())];
        partner.post_form("/oauth2/revoke", &form).await.status == 200
    })
    .await;
    eventually("it opens nothing", async || {
        partner.open_by_plate(BARRIER, &bad, PLATE).await.told() == (401, "invalid_token")
    })
    .await;
    assert_eq!(
        partner.open_by_plate(BARRIER, &good, PLATE).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_revoke_so_many() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    revoke_many(&mesh, &partner.client_id, 9_999).await;
    let revoke = async |partner: &Partner, token: &str| {
        let answer = partner
            .post_form("/oauth2/revoke", &[("token", token)])
            .await;
        answer.status
    };
    let (last, further) = (partner.token().await, partner.token().await);
    assert_eq!(revoke(&partner, &last).await, 200);
    assert_eq!(revoke(&partner, &further).await, 429);
    assert_eq!(revoke(&partner, &last).await, 200, "it is revoked already");
    assert!(partner.is_active(&further).await && !partner.is_active(&last).await);
    let token = other.token().await;
    assert_eq!(revoke(&other, &token).await, 200);
}
