//! Rights and payments: what is asked for by which arguments.

use std::sync::{Arc, Mutex};

use propdev_proto::access::{
    CreateGrantRequest, CreateGrantResponse, GetGrantRequest, GetGrantResponse, Grant,
    ListGrantsRequest, ListGrantsResponse, ListSubscriptionsRequest, ListSubscriptionsResponse,
    RevokeGrantRequest, RevokeGrantResponse, SetSubscriptionRequest, SetSubscriptionResponse,
    UpdateGrantRequest, UpdateGrantResponse,
    grant_service_server::{GrantService, GrantServiceServer},
    subscription_service_server::{SubscriptionService, SubscriptionServiceServer},
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status, service::Routes};

use crate::house::{House, propctl, text};

/// Answers with what it was asked, and keeps what an answer cannot show.
#[derive(Clone, Default)]
struct Echo {
    paths: Arc<Mutex<Vec<String>>>,
    listed: Arc<Mutex<ListGrantsRequest>>,
}

#[tonic::async_trait]
impl GrantService for Echo {
    async fn create_grant(
        &self,
        request: Request<CreateGrantRequest>,
    ) -> Result<Response<CreateGrantResponse>, Status> {
        let grant = request.into_inner().grant;
        Ok(Response::new(CreateGrantResponse { grant }))
    }

    async fn get_grant(
        &self,
        request: Request<GetGrantRequest>,
    ) -> Result<Response<GetGrantResponse>, Status> {
        let request = request.into_inner();
        let named = request.external_id.map(|one| (one.system, one.id));
        let grant = Some(Grant {
            grant_id: request.grant_id,
            external_ids: named.into_iter().collect(),
            ..Grant::default()
        });
        Ok(Response::new(GetGrantResponse { grant }))
    }

    async fn list_grants(
        &self,
        request: Request<ListGrantsRequest>,
    ) -> Result<Response<ListGrantsResponse>, Status> {
        *self.listed.lock().expect("a lock") = request.into_inner();
        Ok(Response::new(ListGrantsResponse::default()))
    }

    async fn update_grant(
        &self,
        request: Request<UpdateGrantRequest>,
    ) -> Result<Response<UpdateGrantResponse>, Status> {
        let request = request.into_inner();
        let mask = request.update_mask.unwrap_or_default();
        *self.paths.lock().expect("a lock") = mask.paths;
        let grant = request.grant;
        Ok(Response::new(UpdateGrantResponse { grant }))
    }

    async fn revoke_grant(
        &self,
        _: Request<RevokeGrantRequest>,
    ) -> Result<Response<RevokeGrantResponse>, Status> {
        Ok(Response::new(RevokeGrantResponse {}))
    }
}

#[tonic::async_trait]
impl SubscriptionService for Echo {
    async fn set_subscription(
        &self,
        request: Request<SetSubscriptionRequest>,
    ) -> Result<Response<SetSubscriptionResponse>, Status> {
        let subscription = request.into_inner().subscription;
        Ok(Response::new(SetSubscriptionResponse { subscription }))
    }

    async fn list_subscriptions(
        &self,
        _: Request<ListSubscriptionsRequest>,
    ) -> Result<Response<ListSubscriptionsResponse>, Status> {
        Ok(Response::new(ListSubscriptionsResponse::default()))
    }
}

async fn house(echo: &Echo) -> House {
    let mut house = House::new();
    let routes = Routes::new(GrantServiceServer::new(echo.clone()))
        .add_service(SubscriptionServiceServer::new(echo.clone()));
    house.serve("access-svc", routes).await;
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_is_one_holders_on_one_thing() {
    let echo = Echo::default();
    let house = house(&echo).await;
    let settings = house.settings("operator/operator/olga");
    let grant = async |arguments: &[&str]| {
        let arguments = [&["--output", "json", "grant"][..], arguments].concat();
        propctl(&settings, &arguments).await
    };
    let added = grant(&["add", "--household", "h1", "--group", "g1"]).await;
    assert!(added.status.success(), "{}", text(&added.stderr));
    let said: Value = serde_json::from_slice(&added.stdout).expect("JSON");
    assert_eq!(said["household_id"], "h1");
    assert_eq!(said["device_group_id"], "g1");
    let named = [
        "--household",
        "h1",
        "--group",
        "g1",
        "--external-id",
        "erp=G-1",
    ];
    let added = grant(&[&["add"][..], &named].concat()).await;
    let said: Value = serde_json::from_slice(&added.stdout).expect("JSON");
    assert_eq!(said["external_ids"], json!({"erp": "G-1"}));
    let got = grant(&["get", "erp=G-1"]).await;
    let said: Value = serde_json::from_slice(&got.stdout).expect("JSON");
    assert_eq!(
        (&said["grant_id"], &said["external_ids"]),
        (&json!(""), &json!({"erp": "G-1"}))
    );
    let device = ["--partner", "p1", "--device", "d1"];
    let added = grant(&[&["add", "--resident", "r1"][..], &device].concat()).await;
    let said: Value = serde_json::from_slice(&added.stdout).expect("JSON");
    assert_eq!(said["resident_id"], "r1");
    assert_eq!(said["device_id"], "d1");
    for wrong in [
        &["add", "--household", "h1"][..],
        &["add", "--group", "g1"],
        &["add", "--household", "h1", "--device", "d1"],
        &[
            "add",
            "--household",
            "h1",
            "--resident",
            "r1",
            "--group",
            "g1",
        ],
        &["list", "--household", "h1", "--group", "g1"],
        &["update", "x"],
        &["update", "x", "--no-end", "--ends-at", "2026-12-31"],
    ] {
        assert_eq!(grant(wrong).await.status.code(), Some(2), "{wrong:?}");
    }
    let listed = grant(&["list", "--partner", "p1", "--device", "d1"]).await;
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let asked = echo.listed.lock().expect("a lock").device.clone();
    assert_eq!(asked.expect("a device").device_id, "d1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_names_what_it_changes() {
    let echo = Echo::default();
    let house = house(&echo).await;
    let settings = house.settings("operator/operator/olga");
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--no-end", "--etag", "e1"], &["ends_at"]),
        (&["--any-time"], &["windows"]),
        (
            &["--window", "mon 08:00-09:00", "--ends-at", "2026-12-31"],
            &["windows", "ends_at"],
        ),
        (&["--external-id", "erp=G-1"], &["external_ids"]),
        (&["--no-external-ids"], &["external_ids"]),
    ];
    for (arguments, paths) in cases {
        let all = [&["--output", "json", "grant", "update", "x"][..], arguments].concat();
        let updated = propctl(&settings, &all).await;
        assert!(updated.status.success(), "{}", text(&updated.stderr));
        assert_eq!(*echo.paths.lock().expect("a lock"), paths);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_household_pays() {
    let house = house(&Echo::default()).await;
    let settings = house.settings("operator/operator/olga");
    let arguments = "--output json payment set --household h1 --site s1 --kind door \
                     --paid-until 2026-12-31 --suspended --as-of 2024-01-24T12:00:00Z";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let set = propctl(&settings, &arguments).await;
    assert!(set.status.success(), "{}", text(&set.stderr));
    let said: Value = serde_json::from_slice(&set.stdout).expect("JSON");
    assert_eq!(said["household_id"], "h1");
    assert_eq!(said["suspended"], json!(true));
    assert_eq!(said["as_of"], "2024-01-24T12:00:00Z");
}
