use propdev_proto::access::{
    Building as BuildingMessage, CreateBuildingRequest, CreateBuildingResponse,
    DeleteBuildingRequest, DeleteBuildingResponse, GetBuildingRequest, GetBuildingResponse,
    ListBuildingsRequest, ListBuildingsResponse, UpdateBuildingRequest, UpdateBuildingResponse,
    building_service_server::BuildingService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    change::change,
    convert::{
        by, caller, external_ids, external_ids_message, fault, id, next_page, optional_id, page,
    },
    mask::Mask,
};
use crate::{app::Named, domain::etag::IfMatch, store::Building};

#[tonic::async_trait]
impl BuildingService for Api {
    async fn create_building(
        &self,
        request: Request<CreateBuildingRequest>,
    ) -> Result<Response<CreateBuildingResponse>, Status> {
        let caller = caller(&request)?;
        let new = request
            .into_inner()
            .building
            .ok_or_else(|| fault("building", "is required"))?;
        let site = id("site_id", &new.site_id)?;
        let given = external_ids(new.external_ids)?;
        let building = self
            .app
            .create_building(site, new.name, given, &caller)
            .await?;
        Ok(Response::new(CreateBuildingResponse {
            building: Some(message(building)),
        }))
    }

    async fn get_building(
        &self,
        request: Request<GetBuildingRequest>,
    ) -> Result<Response<GetBuildingResponse>, Status> {
        let request = request.into_inner();
        let by = by("building_id", &request.building_id, request.external_id)?;
        let building = self.app.get_building(by).await?;
        Ok(Response::new(GetBuildingResponse {
            building: Some(message(building)),
        }))
    }

    async fn list_buildings(
        &self,
        request: Request<ListBuildingsRequest>,
    ) -> Result<Response<ListBuildingsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let site = optional_id("site_id", &request.site_id)?;
        let mut buildings = self.app.list_buildings(site, page).await?;
        let next_page_token = next_page(&mut buildings, page, |(building, _)| building.id);
        Ok(Response::new(ListBuildingsResponse {
            buildings: buildings.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_building(
        &self,
        request: Request<UpdateBuildingRequest>,
    ) -> Result<Response<UpdateBuildingResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = request
            .building
            .ok_or_else(|| fault("building", "is required"))?;
        let mask = Mask::of(
            request.update_mask,
            &[
                ("name", !new.name.is_empty()),
                ("external_ids", !new.external_ids.is_empty()),
            ],
        )?;
        let id = id("building_id", &new.building_id)?;
        let change = change(&mask, new.name, new.external_ids, new.etag, caller)?;
        let building = self.app.update_building(id, change).await?;
        Ok(Response::new(UpdateBuildingResponse {
            building: Some(message(building)),
        }))
    }

    async fn delete_building(
        &self,
        request: Request<DeleteBuildingRequest>,
    ) -> Result<Response<DeleteBuildingResponse>, Status> {
        let request = request.into_inner();
        let id = id("building_id", &request.building_id)?;
        let if_match = IfMatch::of(request.etag);
        self.app.delete_building(id, if_match).await?;
        Ok(Response::new(DeleteBuildingResponse {}))
    }
}

fn message((building, external_ids): Named<Building>) -> BuildingMessage {
    BuildingMessage {
        building_id: building.id.to_string(),
        site_id: building.site.to_string(),
        name: building.name,
        external_ids: external_ids_message(external_ids),
        etag: building.version.etag(),
    }
}
