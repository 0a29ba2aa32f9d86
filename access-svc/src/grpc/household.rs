use propdev_proto::access::{
    AddMemberRequest, AddMemberResponse, CreateHouseholdRequest, CreateHouseholdResponse,
    DeleteHouseholdRequest, DeleteHouseholdResponse, GetHouseholdRequest, GetHouseholdResponse,
    Household as HouseholdMessage, ListHouseholdsRequest, ListHouseholdsResponse,
    ListMembersRequest, ListMembersResponse, RemoveMemberRequest, RemoveMemberResponse,
    UpdateHouseholdRequest, UpdateHouseholdResponse, household_service_server::HouseholdService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    convert::{
        by, caller, external_ids, external_ids_message, fault, id, next_page, optional_id, page,
    },
    mask::Mask,
};
use crate::{
    app::{HouseholdUpdate, NewHousehold},
    domain::{
        etag::IfMatch,
        external_id::{ExternalIds, Object},
    },
    error::Error,
    store::{Household, Membership},
};

#[tonic::async_trait]
impl HouseholdService for Api {
    async fn create_household(
        &self,
        request: Request<CreateHouseholdRequest>,
    ) -> Result<Response<CreateHouseholdResponse>, Status> {
        let caller = caller(&request)?;
        let new = given(request.into_inner().household)?;
        let new = NewHousehold {
            site: id("site_id", &new.site_id)?,
            building: optional_id("building_id", &new.building_id)?,
            unit: new.unit,
            external_ids: external_ids(new.external_ids)?,
        };
        let created = self.app.create_household(new, &caller).await?;
        Ok(Response::new(CreateHouseholdResponse {
            household: Some(message(created)),
        }))
    }

    async fn get_household(
        &self,
        request: Request<GetHouseholdRequest>,
    ) -> Result<Response<GetHouseholdResponse>, Status> {
        let request = request.into_inner();
        let by = by("household_id", &request.household_id, request.external_id)?;
        let id = self.app.id_of(Object::Household, by).await?;
        Ok(Response::new(GetHouseholdResponse {
            household: Some(message(self.app.household(id).await?)),
        }))
    }

    async fn list_households(
        &self,
        request: Request<ListHouseholdsRequest>,
    ) -> Result<Response<ListHouseholdsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let site = optional_id("site_id", &request.site_id)?;
        let mut households = self.app.list_households(site, page).await?;
        let next_page_token = next_page(&mut households, page, |(household, _)| household.id);
        Ok(Response::new(ListHouseholdsResponse {
            households: households.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_household(
        &self,
        request: Request<UpdateHouseholdRequest>,
    ) -> Result<Response<UpdateHouseholdResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = given(request.household)?;
        let mask = Mask::of(
            request.update_mask,
            &[
                ("building_id", !new.building_id.is_empty()),
                ("unit", !new.unit.is_empty()),
                ("external_ids", !new.external_ids.is_empty()),
            ],
        )?;
        let building = optional_id("building_id", &new.building_id)?;
        let update = HouseholdUpdate {
            building: mask.take("building_id", building),
            unit: mask.take("unit", new.unit),
            external_ids: mask.take("external_ids", external_ids(new.external_ids)?),
        };
        let id = id("household_id", &new.household_id)?;
        let if_match = IfMatch::of(new.etag);
        let updated = self.app.update_household(id, if_match, update, &caller);
        Ok(Response::new(UpdateHouseholdResponse {
            household: Some(message(updated.await?)),
        }))
    }

    async fn delete_household(
        &self,
        request: Request<DeleteHouseholdRequest>,
    ) -> Result<Response<DeleteHouseholdResponse>, Status> {
        let request = request.into_inner();
        let id = id("household_id", &request.household_id)?;
        let if_match = IfMatch::of(request.etag);
        self.app.delete_household(id, if_match).await?;
        Ok(Response::new(DeleteHouseholdResponse {}))
    }

    async fn add_member(
        &self,
        request: Request<AddMemberRequest>,
    ) -> Result<Response<AddMemberResponse>, Status> {
        let request = request.into_inner();
        let new = membership(&request.household_id, &request.resident_id)?;
        self.app.add_member(new).await?;
        Ok(Response::new(AddMemberResponse {}))
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<RemoveMemberResponse>, Status> {
        let request = request.into_inner();
        let old = membership(&request.household_id, &request.resident_id)?;
        self.app.remove_member(old).await?;
        Ok(Response::new(RemoveMemberResponse {}))
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let household = id("household_id", &request.household_id)?;
        let mut members = self.app.list_members(household, page).await?;
        let next_page_token = next_page(&mut members, page, |member| *member);
        Ok(Response::new(ListMembersResponse {
            resident_ids: members.iter().map(Uuid::to_string).collect(),
            next_page_token,
        }))
    }
}

fn given(household: Option<HouseholdMessage>) -> Result<HouseholdMessage, Error> {
    household.ok_or_else(|| fault("household", "is required"))
}

fn membership(household: &str, resident: &str) -> Result<Membership, Error> {
    Ok(Membership {
        household: id("household_id", household)?,
        resident: id("resident_id", resident)?,
    })
}

fn message((household, external_ids): (Household, ExternalIds)) -> HouseholdMessage {
    HouseholdMessage {
        household_id: household.id.to_string(),
        site_id: household.site.to_string(),
        building_id: household
            .building
            .map_or_else(String::new, |id| id.to_string()),
        unit: household.unit,
        external_ids: external_ids_message(external_ids),
        etag: household.version.etag(),
    }
}
