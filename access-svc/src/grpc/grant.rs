use propdev_proto::access::{
    CreateGrantRequest, CreateGrantResponse, Grant as GrantMessage, ListGrantsRequest,
    ListGrantsResponse, RevokeGrantRequest, RevokeGrantResponse, WeeklyWindow,
    grant_service_server::GrantService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    convert::{fault, id, next_page, optional_id, optional_time, page, timestamp},
};
use crate::{app::NewGrant, domain::schedule::Window, error::Error, store::StoredGrant};

#[tonic::async_trait]
impl GrantService for Api {
    async fn create_grant(
        &self,
        request: Request<CreateGrantRequest>,
    ) -> Result<Response<CreateGrantResponse>, Status> {
        let new = request
            .into_inner()
            .grant
            .ok_or_else(|| fault("grant", "is required"))?;
        let (grant, device) = self
            .app
            .create_grant(NewGrant {
                resident: id("resident_id", &new.resident_id)?,
                partner: id("partner_id", &new.partner_id)?,
                device_id: new.device_id,
                windows: new.windows.iter().map(window).collect::<Result<_, _>>()?,
                ends_at: optional_time("ends_at", new.ends_at)?,
            })
            .await?;
        Ok(Response::new(CreateGrantResponse {
            grant: Some(message(grant, Some(device))),
        }))
    }

    async fn list_grants(
        &self,
        request: Request<ListGrantsRequest>,
    ) -> Result<Response<ListGrantsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let resident = optional_id("resident_id", &request.resident_id)?;
        let mut grants = self.app.list_grants(resident, page).await?;
        let next_page_token = next_page(&mut grants, page, |(grant, _)| grant.id);
        Ok(Response::new(ListGrantsResponse {
            grants: grants
                .into_iter()
                .map(|(grant, device)| message(grant, device))
                .collect(),
            next_page_token,
        }))
    }

    async fn revoke_grant(
        &self,
        request: Request<RevokeGrantRequest>,
    ) -> Result<Response<RevokeGrantResponse>, Status> {
        let id = id("grant_id", &request.into_inner().grant_id)?;
        self.app.revoke_grant(id).await?;
        Ok(Response::new(RevokeGrantResponse {}))
    }
}

pub(super) fn window(message: &WeeklyWindow) -> Result<Window, Error> {
    let wrong = || fault("windows", "holds a number that is out of range");
    Ok(Window {
        weekdays: message
            .weekdays
            .iter()
            .map(|day| u8::try_from(*day).map_err(|_| wrong()))
            .collect::<Result<_, _>>()?,
        from: u16::try_from(message.from_minute).map_err(|_| wrong())?,
        to: u16::try_from(message.to_minute).map_err(|_| wrong())?,
    })
}

fn message(grant: StoredGrant, device: Option<(Uuid, String)>) -> GrantMessage {
    let (partner, device_id) = device.unwrap_or_default();
    GrantMessage {
        grant_id: grant.id.to_string(),
        resident_id: grant.resident.to_string(),
        partner_id: partner.to_string(),
        device_id,
        windows: grant
            .windows
            .iter()
            .map(|window| WeeklyWindow {
                weekdays: window.weekdays.iter().map(|day| u32::from(*day)).collect(),
                from_minute: window.from.into(),
                to_minute: window.to.into(),
            })
            .collect(),
        ends_at: grant.ends_at.and_then(timestamp),
    }
}
