//! Registry calls: what is printed, how it exits.

use std::sync::Mutex;

use propdev_proto::access::{
    CreateSiteRequest, CreateSiteResponse, DeleteSiteRequest, DeleteSiteResponse, GetSiteRequest,
    GetSiteResponse, ListSitesRequest, ListSitesResponse, SetFreePassageRequest,
    SetFreePassageResponse, SetLockdownRequest, SetLockdownResponse, Site, UpdateSiteRequest,
    UpdateSiteResponse,
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
        let request = request.into_inner();
        let site = Site {
            site_id: format!("s{}", sites.len() + 1),
            name: request.name,
            external_ids: request.external_ids,
            etag: "\"1\"".into(),
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

    async fn get_site(
        &self,
        request: Request<GetSiteRequest>,
    ) -> Result<Response<GetSiteResponse>, Status> {
        let request = request.into_inner();
        let sites = self.0.lock().expect("a lock");
        let site = sites.iter().find(|site| match &request.external_id {
            Some(wanted) => site.external_ids.get(&wanted.system) == Some(&wanted.id),
            None => site.site_id == request.site_id,
        });
        let site = site.ok_or_else(|| Status::not_found("no site of this id"))?;
        Ok(Response::new(GetSiteResponse {
            site: Some(site.clone()),
        }))
    }

    async fn update_site(
        &self,
        request: Request<UpdateSiteRequest>,
    ) -> Result<Response<UpdateSiteResponse>, Status> {
        let request = request.into_inner();
        let (given, mask) = (request.site.expect("a site"), request.update_mask);
        assert_eq!(mask.expect("a mask").paths, ["name"]);
        let mut sites = self.0.lock().expect("a lock");
        let site = sites.iter_mut().find(|s| s.site_id == given.site_id);
        let site = site.ok_or_else(|| Status::not_found("no site of this id"))?;
        if !given.etag.is_empty() && given.etag != site.etag {
            let message = "it has changed since it was read";
            return Err(mesh::error::status(Code::Aborted, "ETAG_MISMATCH", message));
        }
        site.name = given.name;
        site.etag = "\"2\"".into();
        Ok(Response::new(UpdateSiteResponse {
            site: Some(site.clone()),
        }))
    }

    async fn delete_site(
        &self,
        request: Request<DeleteSiteRequest>,
    ) -> Result<Response<DeleteSiteResponse>, Status> {
        let id = request.into_inner().site_id;
        self.0.lock().expect("a lock").retain(|s| s.site_id != id);
        Ok(Response::new(DeleteSiteResponse {}))
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
        json!({
            "site_id": "s3",
            "name": "West",
            "lockdown": false,
            "free_passage": false,
            "external_ids": {},
            "etag": "\"1\"",
        })
    );
    let freed = propctl(&settings, &["site", "free-passage", "s1", "on"]).await;
    assert!(freed.status.success(), "{}", text(&freed.stderr));
    let listed = propctl(&settings, &["site", "list", "--limit", "1"]).await;
    assert_eq!(
        text(&listed.stdout),
        "SITE  NAME   LOCKDOWN  FREE PASSAGE  ETAG\ns1    North  off       on            \"1\"\n"
    );
    assert!(text(&listed.stderr).contains("--limit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_found_by_another_systems_id_and_changed_as_it_was_read() {
    let house = house().await;
    let settings = house.settings("operator/operator/olga");
    let add = ["site", "add", "--name", "North", "--external-id", "reg=S-1"];
    assert!(propctl(&settings, &add).await.status.success());
    let got = propctl(&settings, &["--output", "json", "site", "get", "reg=S-1"]).await;
    let site: Value = serde_json::from_slice(&got.stdout).expect("JSON");
    assert_eq!(site["site_id"], "s1");
    assert_eq!(site["external_ids"], json!({ "reg": "S-1" }));
    let etag = site["etag"].as_str().expect("an etag");
    let update = ["site", "update", "s1", "--name", "South", "--etag", etag];
    let updated = propctl(&settings, &update).await;
    assert!(updated.status.success(), "{}", text(&updated.stderr));
    let stale = propctl(&settings, &update).await;
    assert_eq!(stale.status.code(), Some(1));
    assert!(text(&stale.stderr).contains("ETAG_MISMATCH"));
    let nothing = propctl(&settings, &["site", "update", "s1"]).await;
    assert_eq!(nothing.status.code(), Some(2));
    assert!(
        propctl(&settings, &["site", "delete", "s1"])
            .await
            .status
            .success()
    );
    let gone = propctl(&settings, &["site", "get", "s1"]).await;
    assert_eq!(gone.status.code(), Some(5));
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
