use propdev_proto::access::{
    CreateSiteRequest, CreateSiteResponse, DeleteSiteRequest, DeleteSiteResponse, GetSiteRequest,
    GetSiteResponse, ListSitesRequest, ListSitesResponse, SetFreePassageRequest,
    SetFreePassageResponse, SetLockdownRequest, SetLockdownResponse, Site as SiteMessage,
    UpdateSiteRequest, UpdateSiteResponse, site_service_server::SiteService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    change::change,
    convert::{actor, by, caller, external_ids, external_ids_message, fault, id, next_page, page},
    mask::Mask,
};
use crate::{
    app::Named,
    domain::{etag::IfMatch, passage::Order},
    store::Site,
};

#[tonic::async_trait]
impl SiteService for Api {
    async fn create_site(
        &self,
        request: Request<CreateSiteRequest>,
    ) -> Result<Response<CreateSiteResponse>, Status> {
        let caller = caller(&request)?;
        let new = request.into_inner();
        let given = external_ids(new.external_ids)?;
        let site = self.app.create_site(new.name, given, &caller).await?;
        Ok(Response::new(CreateSiteResponse {
            site: Some(message(site)),
        }))
    }

    async fn get_site(
        &self,
        request: Request<GetSiteRequest>,
    ) -> Result<Response<GetSiteResponse>, Status> {
        let request = request.into_inner();
        let by = by("site_id", &request.site_id, request.external_id)?;
        let site = self.app.get_site(by).await?;
        Ok(Response::new(GetSiteResponse {
            site: Some(message(site)),
        }))
    }

    async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let mut sites = self.app.list_sites(page).await?;
        let next_page_token = next_page(&mut sites, page, |(site, _)| site.id);
        Ok(Response::new(ListSitesResponse {
            sites: sites.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_site(
        &self,
        request: Request<UpdateSiteRequest>,
    ) -> Result<Response<UpdateSiteResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = request.site.ok_or_else(|| fault("site", "is required"))?;
        let mask = Mask::of(
            request.update_mask,
            &[
                ("name", !new.name.is_empty()),
                ("external_ids", !new.external_ids.is_empty()),
            ],
        )?;
        let id = id("site_id", &new.site_id)?;
        let change = change(&mask, new.name, new.external_ids, new.etag, caller)?;
        let site = self.app.update_site(id, change).await?;
        Ok(Response::new(UpdateSiteResponse {
            site: Some(message(site)),
        }))
    }

    async fn delete_site(
        &self,
        request: Request<DeleteSiteRequest>,
    ) -> Result<Response<DeleteSiteResponse>, Status> {
        let request = request.into_inner();
        let id = id("site_id", &request.site_id)?;
        self.app.delete_site(id, IfMatch::of(request.etag)).await?;
        Ok(Response::new(DeleteSiteResponse {}))
    }

    async fn set_lockdown(
        &self,
        request: Request<SetLockdownRequest>,
    ) -> Result<Response<SetLockdownResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let id = id("site_id", &request.site_id)?;
        let site = self
            .app
            .order_site(id, Order::Lockdown, request.lockdown, actor)
            .await?;
        Ok(Response::new(SetLockdownResponse {
            site: Some(message(site)),
        }))
    }

    async fn set_free_passage(
        &self,
        request: Request<SetFreePassageRequest>,
    ) -> Result<Response<SetFreePassageResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let id = id("site_id", &request.site_id)?;
        let site = self
            .app
            .order_site(id, Order::FreePassage, request.free_passage, actor)
            .await?;
        Ok(Response::new(SetFreePassageResponse {
            site: Some(message(site)),
        }))
    }
}

fn message((site, external_ids): Named<Site>) -> SiteMessage {
    SiteMessage {
        site_id: site.id.to_string(),
        name: site.name,
        lockdown: site.passage.lockdown,
        free_passage: site.passage.free,
        external_ids: external_ids_message(external_ids),
        etag: site.version.etag(),
    }
}
