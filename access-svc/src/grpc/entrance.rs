use propdev_proto::access::{
    CreateEntranceRequest, CreateEntranceResponse, DeleteEntranceRequest, DeleteEntranceResponse,
    Entrance as EntranceMessage, GetEntranceRequest, GetEntranceResponse, ListEntrancesRequest,
    ListEntrancesResponse, UpdateEntranceRequest, UpdateEntranceResponse,
    entrance_service_server::EntranceService,
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
use crate::{app::Named, domain::etag::IfMatch, store::Entrance};

#[tonic::async_trait]
impl EntranceService for Api {
    async fn create_entrance(
        &self,
        request: Request<CreateEntranceRequest>,
    ) -> Result<Response<CreateEntranceResponse>, Status> {
        let caller = caller(&request)?;
        let new = request
            .into_inner()
            .entrance
            .ok_or_else(|| fault("entrance", "is required"))?;
        let building = id("building_id", &new.building_id)?;
        let given = external_ids(new.external_ids)?;
        let entrance = self
            .app
            .create_entrance(building, new.name, given, &caller)
            .await?;
        Ok(Response::new(CreateEntranceResponse {
            entrance: Some(message(entrance)),
        }))
    }

    async fn get_entrance(
        &self,
        request: Request<GetEntranceRequest>,
    ) -> Result<Response<GetEntranceResponse>, Status> {
        let request = request.into_inner();
        let by = by("entrance_id", &request.entrance_id, request.external_id)?;
        let entrance = self.app.get_entrance(by).await?;
        Ok(Response::new(GetEntranceResponse {
            entrance: Some(message(entrance)),
        }))
    }

    async fn list_entrances(
        &self,
        request: Request<ListEntrancesRequest>,
    ) -> Result<Response<ListEntrancesResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let building = optional_id("building_id", &request.building_id)?;
        let mut entrances = self.app.list_entrances(building, page).await?;
        let next_page_token = next_page(&mut entrances, page, |(entrance, _)| entrance.id);
        Ok(Response::new(ListEntrancesResponse {
            entrances: entrances.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_entrance(
        &self,
        request: Request<UpdateEntranceRequest>,
    ) -> Result<Response<UpdateEntranceResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = request
            .entrance
            .ok_or_else(|| fault("entrance", "is required"))?;
        let mask = Mask::of(
            request.update_mask,
            &[
                ("name", !new.name.is_empty()),
                ("external_ids", !new.external_ids.is_empty()),
            ],
        )?;
        let id = id("entrance_id", &new.entrance_id)?;
        let change = change(&mask, new.name, new.external_ids, new.etag, caller)?;
        let entrance = self.app.update_entrance(id, change).await?;
        Ok(Response::new(UpdateEntranceResponse {
            entrance: Some(message(entrance)),
        }))
    }

    async fn delete_entrance(
        &self,
        request: Request<DeleteEntranceRequest>,
    ) -> Result<Response<DeleteEntranceResponse>, Status> {
        let request = request.into_inner();
        let id = id("entrance_id", &request.entrance_id)?;
        let if_match = IfMatch::of(request.etag);
        self.app.delete_entrance(id, if_match).await?;
        Ok(Response::new(DeleteEntranceResponse {}))
    }
}

fn message((entrance, external_ids): Named<Entrance>) -> EntranceMessage {
    EntranceMessage {
        entrance_id: entrance.id.to_string(),
        building_id: entrance.building.to_string(),
        name: entrance.name,
        external_ids: external_ids_message(external_ids),
        etag: entrance.version.etag(),
    }
}
