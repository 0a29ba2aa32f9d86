use propdev_proto::access::{
    CreateSiteRequest, CreateSiteResponse, ListSitesRequest, ListSitesResponse,
    SetFreePassageRequest, SetFreePassageResponse, SetLockdownRequest, SetLockdownResponse,
    Site as SiteMessage, site_service_server::SiteService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::{actor, id, next_page, page},
};
use crate::{domain::passage::Order, store::Site};

#[tonic::async_trait]
impl SiteService for Api {
    async fn create_site(
        &self,
        request: Request<CreateSiteRequest>,
    ) -> Result<Response<CreateSiteResponse>, Status> {
        let site = self.app.create_site(request.into_inner().name).await?;
        Ok(Response::new(CreateSiteResponse {
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
        let next_page_token = next_page(&mut sites, page, |site| site.id);
        Ok(Response::new(ListSitesResponse {
            sites: sites.into_iter().map(message).collect(),
            next_page_token,
        }))
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

fn message(site: Site) -> SiteMessage {
    SiteMessage {
        site_id: site.id.to_string(),
        name: site.name,
        lockdown: site.passage.lockdown,
        free_passage: site.passage.free,
    }
}
