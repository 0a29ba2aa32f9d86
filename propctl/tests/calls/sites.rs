//! Registry calls: what is printed, how it exits.

use std::sync::Mutex;

use propdev_proto::access::{
    CreateSiteRequest, CreateSiteResponse, ListSitesRequest, ListSitesResponse,
    SetFreePassageRequest, SetFreePassageResponse, SetLockdownRequest, SetLockdownResponse, Site,
    site_service_server::{SiteService, SiteServiceServer},
};
use serde_json::{Value, json};
use tonic::{Code, Request, Response, Status, service::Routes};

use crate::house::{House, propctl, text};

/// Sites in memory, two a page.
#[derive(Default)]
struct Sites(Mutex<Vec<Site>>);

#[tonic::async_trait]
impl SiteService for Sites {
    async fn create_site(
        &self,
        request: Request<CreateSiteRequest>,
    ) -> Result<Response<CreateSiteResponse>, Status> {
        let mut sites = self.0.lock().expect("a lock");
        let name = request.into_inner().name;
        let site = Site {
            site_id: format!("s{}", sites.len() + 1),
            name,
            ..Site::default()
        };
        sites.push(site.clone());
        Ok(Response::new(CreateSiteResponse { site: Some(site) }))
    }

    async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        let sites = self.0.lock().expect("a lock");
        let request = request.into_inner();
        let start = request.page_token.parse().unwrap_or(0);
        let end = sites.len().min(start + 2.min(request.page_size as usize));
        Ok(Response::new(ListSitesResponse {
            sites: sites[start..end].to_vec(),
            next_page_token: if end < sites.len() {
                end.to_string()
            } else {
                String::new()
            },
        }))
    }

    async fn set_lockdown(
        &self,
        _: Request<SetLockdownRequest>,
    ) -> Result<Response<SetLockdownResponse>, Status> {
        Err(mesh::error::status(
            Code::NotFound,
            "SITE_NOT_FOUND",
            "no site of this id",
        ))
    }

    async fn set_free_passage(
        &self,
        request: Request<SetFreePassageRequest>,
    ) -> Result<Response<SetFreePassageResponse>, Status> {
        let request = request.into_inner();
        let mut sites = self.0.lock().expect("a lock");
        let site = sites.iter_mut().find(|s| s.site_id == request.site_id);
        let site = site.ok_or_else(|| Status::not_found("no site of this id"))?;
        site.free_passage = request.free_passage;
        Ok(Response::new(SetFreePassageResponse {
            site: Some(site.clone()),
        }))
    }
}

/// With access-svc alone.
async fn house() -> House {
    let mut house = House::new();
    let routes = Routes::new(SiteServiceServer::new(Sites::default()));
    house.serve("access-svc", routes).await;
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_are_added_and_listed() {
    let house = house().await;
    let settings = house.settings("operator/operator/olga");
    for name in ["North", "South", "West"] {
        let added = propctl(
            &settings,
            &["--output", "json", "site", "add", "--name", name],
        )
        .await;
        assert!(added.status.success(), "{}", text(&added.stderr));
        let site: Value = serde_json::from_slice(&added.stdout).expect("JSON");
        assert_eq!(site["name"], name);
    }
    let listed = propctl(&settings, &["site", "list", "--output", "json"]).await;
    let sites: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(
        sites[2],
        json!({ "site_id": "s3", "name": "West", "lockdown": false, "free_passage": false })
    );
    let freed = propctl(&settings, &["site", "free-passage", "s1", "on"]).await;
    assert!(freed.status.success(), "{}", text(&freed.stderr));
    let listed = propctl(&settings, &["site", "list", "--limit", "1"]).await;
    assert_eq!(
        text(&listed.stdout),
        "SITE  NAME   LOCKDOWN  FREE PASSAGE\ns1    North  off       on\n"
    );
    assert!(text(&listed.stderr).contains("--limit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_and_why() {
    let house = house().await;
    let viewer = house.settings("operator/viewer/anna");
    let denied = propctl(&viewer, &["site", "add", "--name", "North"]).await;
    assert_eq!(denied.status.code(), Some(4));
    assert!(denied.stdout.is_empty());
    let told = text(&denied.stderr);
    assert!(
        told.contains("SiteService/CreateSite: PERMISSION_DENIED"),
        "{told}"
    );
    assert!(
        told.contains(
            "your certificate is operator/viewer/anna; \
             this call wants operator/operator or system/registry"
        ),
        "{told}"
    );

    let operator = house.settings("operator/operator/olga");
    let absent = propctl(&operator, &["site", "lockdown", "x", "on"]).await;
    assert_eq!(absent.status.code(), Some(5));
    assert!(text(&absent.stderr).contains("NOT_FOUND SITE_NOT_FOUND: no site of this id"));

    let unconfigured = propctl(&operator, &["client", "list"]).await;
    assert_eq!(unconfigured.status.code(), Some(2));
    assert!(text(&unconfigured.stderr).contains("endpoints.auth-svc"));

    let usage = propctl(&operator, &["site", "lockdown", "x", "perhaps"]).await;
    assert_eq!(usage.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_is_named() {
    let mut house = house().await;
    let settings = house.settings("operator/viewer/anna");
    let status = propctl(&settings, &["status", "--output", "json"]).await;
    assert!(status.status.success(), "{}", text(&status.stderr));
    let told: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(told["services"][1]["state"], "serving");
    assert_eq!(told["services"][0]["state"], "not_configured");

    house.at("access-svc", "https://127.0.0.1:1");
    let settings = house.settings("operator/viewer/anna");
    let away = propctl(&settings, &["site", "list"]).await;
    assert_eq!(away.status.code(), Some(3));
    assert!(text(&away.stderr).contains("https://127.0.0.1:1"));
}
