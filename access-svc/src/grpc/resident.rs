use mesh::Caller;
use propdev_proto::access::{
    CreateResidentRequest, CreateResidentResponse, EnrolFaceRequest, EnrolFaceResponse,
    EraseResidentRequest, EraseResidentResponse, GetResidentRequest, GetResidentResponse,
    ListResidentsRequest, ListResidentsResponse, Resident as ResidentMessage,
    SetResidentStateRequest, SetResidentStateResponse, UpdateResidentRequest,
    UpdateResidentResponse, resident_service_server::ResidentService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{
        by, caller, external_ids, external_ids_message, fault, id, ids, next_page, optional_id,
        page, sees_persons, time, timestamp,
    },
    erasure,
    mask::Mask,
};
use crate::{
    app::{NewResident, ResidentUpdate},
    domain::{erasure::Order, etag::IfMatch, external_id::Object},
    store::ToldResident,
};

#[tonic::async_trait]
impl ResidentService for Api {
    async fn create_resident(
        &self,
        request: Request<CreateResidentRequest>,
    ) -> Result<Response<CreateResidentResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = NewResident {
            name: Zeroizing::new(request.name),
            sites: ids("site_ids", &request.site_ids)?,
            households: ids("household_ids", &request.household_ids)?,
            external_ids: external_ids(request.external_ids)?,
        };
        let created = self.app.create_resident(new, &caller).await?;
        Ok(Response::new(CreateResidentResponse {
            resident: Some(message(created)),
        }))
    }

    async fn list_residents(
        &self,
        request: Request<ListResidentsRequest>,
    ) -> Result<Response<ListResidentsResponse>, Status> {
        let with_names = sees_persons(&request);
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let site = optional_id("site_id", &request.site_id)?;
        let mut residents = self.app.list_residents(site, page, with_names).await?;
        let next_page_token = next_page(&mut residents, page, |told| told.resident.id);
        Ok(Response::new(ListResidentsResponse {
            residents: residents.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn get_resident(
        &self,
        request: Request<GetResidentRequest>,
    ) -> Result<Response<GetResidentResponse>, Status> {
        let with_name = sees_persons(&request);
        let request = request.into_inner();
        let by = by("resident_id", &request.resident_id, request.external_id)?;
        let id = self.app.id_of(Object::Resident, by).await?;
        Ok(Response::new(GetResidentResponse {
            resident: Some(message(self.app.told_resident(id, with_name).await?)),
        }))
    }

    async fn update_resident(
        &self,
        request: Request<UpdateResidentRequest>,
    ) -> Result<Response<UpdateResidentResponse>, Status> {
        let (caller, with_name) = (caller(&request)?, sees_persons(&request));
        let request = request.into_inner();
        let new = request.resident;
        let new = new.ok_or_else(|| fault("resident", "is required"))?;
        let name = Zeroizing::new(new.name);
        let mask = Mask::of(
            request.update_mask,
            &[
                ("name", !name.is_empty()),
                ("site_ids", !new.site_ids.is_empty()),
                ("external_ids", !new.external_ids.is_empty()),
            ],
        )?;
        let update = ResidentUpdate {
            name: mask.take("name", name),
            sites: mask.take("site_ids", ids("site_ids", &new.site_ids)?),
            external_ids: mask.take("external_ids", external_ids(new.external_ids)?),
        };
        let id = id("resident_id", &new.resident_id)?;
        let if_match = IfMatch::of(new.etag);
        self.app
            .update_resident(id, if_match, update, &caller)
            .await?;
        Ok(Response::new(UpdateResidentResponse {
            resident: Some(message(self.app.told_resident(id, with_name).await?)),
        }))
    }

    async fn set_resident_state(
        &self,
        request: Request<SetResidentStateRequest>,
    ) -> Result<Response<SetResidentStateResponse>, Status> {
        let request = request.into_inner();
        let id = id("resident_id", &request.resident_id)?;
        self.app.set_resident_state(id, request.suspended).await?;
        Ok(Response::new(SetResidentStateResponse {
            resident: Some(message(self.app.told_resident(id, false).await?)),
        }))
    }

    async fn enrol_face(
        &self,
        request: Request<EnrolFaceRequest>,
    ) -> Result<Response<EnrolFaceResponse>, Status> {
        let request = request.into_inner();
        let (template, templates) = self
            .app
            .enrol_face(
                id("resident_id", &request.resident_id)?,
                optional_id("template_id", &request.template_id)?,
                request.face.ok_or_else(|| fault("face", "is required"))?,
                request.consent_reference,
                time("consented_at", request.consented_at)?,
            )
            .await?;
        Ok(Response::new(EnrolFaceResponse {
            template_id: template.to_string(),
            templates,
        }))
    }

    async fn erase_resident(
        &self,
        request: Request<EraseResidentRequest>,
    ) -> Result<Response<EraseResidentResponse>, Status> {
        let caller = request.extensions().get::<Caller>();
        let requested_by = caller.map_or_else(String::new, Caller::to_string);
        let request = request.into_inner();
        let id = id("resident_id", &request.resident_id)?;
        let order = Order {
            reason: erasure::reason(request.reason()),
            requested_by,
        };
        let erasure = erasure::message(self.app.erase_resident(id, order).await?);
        let counts = erasure.counts.unwrap_or_default();
        Ok(Response::new(EraseResidentResponse {
            erased_at: erasure.erased_at,
            templates: counts.templates,
            vehicles: counts.vehicles,
            credentials: counts.credentials,
            grants: counts.grants,
            erasure: Some(erasure),
        }))
    }
}

fn message(told: ToldResident) -> ResidentMessage {
    let resident = told.resident;
    ResidentMessage {
        resident_id: resident.id.to_string(),
        name: told.name.map_or_else(String::new, |name| name.to_string()),
        site_ids: told.sites.iter().map(Uuid::to_string).collect(),
        suspended: resident.suspended,
        audit_pseudonym: resident.audit_pseudonym.to_string(),
        household_ids: told.households.iter().map(Uuid::to_string).collect(),
        guest_until: resident.guest_until.and_then(timestamp),
        external_ids: external_ids_message(told.external_ids),
        etag: resident.version.etag(),
    }
}
