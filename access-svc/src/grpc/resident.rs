use mesh::Caller;
use propdev_proto::access::{
    CreateResidentRequest, CreateResidentResponse, EnrolFaceRequest, EnrolFaceResponse,
    EraseResidentRequest, EraseResidentResponse, ListResidentsRequest, ListResidentsResponse,
    Resident as ResidentMessage, SetResidentStateRequest, SetResidentStateResponse,
    resident_service_server::ResidentService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{fault, id, ids, next_page, optional_id, page, time},
    erasure,
};
use crate::{app::NewResident, domain::erasure::Order, store::Resident};

#[tonic::async_trait]
impl ResidentService for Api {
    async fn create_resident(
        &self,
        request: Request<CreateResidentRequest>,
    ) -> Result<Response<CreateResidentResponse>, Status> {
        let request = request.into_inner();
        let (resident, sites) = self
            .app
            .create_resident(NewResident {
                name: Zeroizing::new(request.name),
                sites: ids("site_ids", &request.site_ids)?,
            })
            .await?;
        Ok(Response::new(CreateResidentResponse {
            resident: Some(message(&resident, &sites, None)),
        }))
    }

    async fn list_residents(
        &self,
        request: Request<ListResidentsRequest>,
    ) -> Result<Response<ListResidentsResponse>, Status> {
        let with_names = request
            .extensions()
            .get::<Caller>()
            .is_some_and(|caller| caller.has_role("privacy"));
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let mut rows = self.app.list_residents(page, with_names).await?;
        let next_page_token = next_page(&mut rows, page, |(resident, _)| resident.id);
        let mut residents = Vec::with_capacity(rows.len());
        for (resident, name) in rows {
            let sites = self.app.resident_sites(resident.id).await?;
            residents.push(message(&resident, &sites, name));
        }
        Ok(Response::new(ListResidentsResponse {
            residents,
            next_page_token,
        }))
    }

    async fn set_resident_state(
        &self,
        request: Request<SetResidentStateRequest>,
    ) -> Result<Response<SetResidentStateResponse>, Status> {
        let request = request.into_inner();
        let id = id("resident_id", &request.resident_id)?;
        let resident = self.app.set_resident_state(id, request.suspended).await?;
        let sites = self.app.resident_sites(id).await?;
        Ok(Response::new(SetResidentStateResponse {
            resident: Some(message(&resident, &sites, None)),
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

fn message(
    resident: &Resident,
    sites: &[Uuid],
    name: Option<Zeroizing<String>>,
) -> ResidentMessage {
    ResidentMessage {
        resident_id: resident.id.to_string(),
        name: name.map_or_else(String::new, |name| name.to_string()),
        site_ids: sites.iter().map(Uuid::to_string).collect(),
        suspended: resident.suspended,
        audit_pseudonym: resident.audit_pseudonym.to_string(),
    }
}
