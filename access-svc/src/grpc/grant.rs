use propdev_proto::access::{
    CreateGrantRequest, CreateGrantResponse, GetGrantRequest, GetGrantResponse,
    Grant as GrantMessage, ListGrantsRequest, ListGrantsResponse, RevokeGrantRequest,
    RevokeGrantResponse, UpdateGrantRequest, UpdateGrantResponse, WeeklyWindow,
    grant_service_server::GrantService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::{
        by, caller, external_ids, external_ids_message, fault, id, next_page, optional_id,
        optional_text, optional_time, page, timestamp,
    },
    mask::Mask,
};
use crate::{
    app::{DeviceName, GrantUpdate, GrantsOf, NewGrant, ShownGrant, TargetName},
    domain::{
        etag::IfMatch,
        grant::{Holder, Target},
        schedule::Window,
    },
    error::Error,
};

#[tonic::async_trait]
impl GrantService for Api {
    async fn create_grant(
        &self,
        request: Request<CreateGrantRequest>,
    ) -> Result<Response<CreateGrantResponse>, Status> {
        let caller = caller(&request)?;
        let new = request
            .into_inner()
            .grant
            .ok_or_else(|| fault("grant", "is required"))?;
        let holder = holder(&new.resident_id, &new.household_id)?;
        let device = device(&new.partner_id, new.device_id)?;
        let target = target(device, &new.device_group_id)?;
        let new = NewGrant {
            holder: holder.ok_or_else(|| fault("resident_id", "or household_id is required"))?,
            target: target.ok_or_else(|| fault("device_id", "or device_group_id is required"))?,
            windows: windows(&new.windows)?,
            ends_at: optional_time("ends_at", new.ends_at)?,
            external_ids: external_ids(new.external_ids)?,
        };
        let grant = self.app.create_grant(new, &caller).await?;
        Ok(Response::new(CreateGrantResponse {
            grant: Some(message(grant)),
        }))
    }

    async fn get_grant(
        &self,
        request: Request<GetGrantRequest>,
    ) -> Result<Response<GetGrantResponse>, Status> {
        let request = request.into_inner();
        let by = by("grant_id", &request.grant_id, request.external_id)?;
        let grant = self.app.get_grant(by).await?;
        Ok(Response::new(GetGrantResponse {
            grant: Some(message(grant)),
        }))
    }

    async fn list_grants(
        &self,
        request: Request<ListGrantsRequest>,
    ) -> Result<Response<ListGrantsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let holder = holder(&request.resident_id, &request.household_id)?;
        let device = match request.device {
            Some(name) => device(&name.partner_id, name.device_id)?,
            None => None,
        };
        let target = target(device, &request.device_group_id)?;
        let of = match (holder, target) {
            (None, None) => GrantsOf::All,
            (Some(holder), None) => GrantsOf::Holder(holder),
            (None, Some(target)) => GrantsOf::Target(target),
            (Some(_), Some(_)) => {
                let detail = "and a holder exclude each other";
                return Err(fault("device", detail).into());
            }
        };
        let mut grants = self.app.list_grants(of, page).await?;
        let next_page_token = next_page(&mut grants, page, |shown| shown.grant.id);
        Ok(Response::new(ListGrantsResponse {
            grants: grants.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_grant(
        &self,
        request: Request<UpdateGrantRequest>,
    ) -> Result<Response<UpdateGrantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let grant = request.grant.ok_or_else(|| fault("grant", "is required"))?;
        let id = id("grant_id", &grant.grant_id)?;
        let updatable = [
            ("windows", !grant.windows.is_empty()),
            ("ends_at", grant.ends_at.is_some()),
            ("external_ids", !grant.external_ids.is_empty()),
        ];
        let mask = Mask::of(request.update_mask, &updatable)?;
        let update = GrantUpdate {
            windows: mask.take("windows", windows(&grant.windows)?),
            ends_at: mask.take("ends_at", optional_time("ends_at", grant.ends_at)?),
            external_ids: mask.take("external_ids", external_ids(grant.external_ids)?),
        };
        let if_match = IfMatch::of(grant.etag);
        let grant = self.app.update_grant(id, update, if_match, &caller).await?;
        Ok(Response::new(UpdateGrantResponse {
            grant: Some(message(grant)),
        }))
    }

    async fn revoke_grant(
        &self,
        request: Request<RevokeGrantRequest>,
    ) -> Result<Response<RevokeGrantResponse>, Status> {
        let request = request.into_inner();
        let id = id("grant_id", &request.grant_id)?;
        self.app.revoke_grant(id, IfMatch::of(request.etag)).await?;
        Ok(Response::new(RevokeGrantResponse {}))
    }
}

fn holder(resident: &str, household: &str) -> Result<Option<Holder>, Error> {
    let resident = optional_id("resident_id", resident)?;
    match (resident, optional_id("household_id", household)?) {
        (None, None) => Ok(None),
        (Some(resident), None) => Ok(Some(Holder::Resident(resident))),
        (None, Some(household)) => Ok(Some(Holder::Household(household))),
        (Some(_), Some(_)) => Err(fault("resident_id", "and household_id exclude each other")),
    }
}

fn device(partner: &str, device: String) -> Result<Option<DeviceName>, Error> {
    match (optional_id("partner_id", partner)?, optional_text(device)) {
        (None, None) => Ok(None),
        (Some(partner), Some(device)) => Ok(Some((partner, device))),
        (None, Some(_)) => Err(fault("partner_id", "is required beside device_id")),
        (Some(_), None) => Err(fault("device_id", "is required beside partner_id")),
    }
}

fn target(device: Option<DeviceName>, group: &str) -> Result<Option<TargetName>, Error> {
    match (device, optional_id("device_group_id", group)?) {
        (None, None) => Ok(None),
        (Some(device), None) => Ok(Some(TargetName::Device(device))),
        (None, Some(group)) => Ok(Some(TargetName::Group(group))),
        (Some(_), Some(_)) => Err(fault("device_id", "and device_group_id exclude each other")),
    }
}

fn windows(messages: &[WeeklyWindow]) -> Result<Vec<Window>, Error> {
    messages.iter().map(window).collect()
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

fn message(shown: ShownGrant) -> GrantMessage {
    let grant = shown.grant;
    let mut message = GrantMessage {
        grant_id: grant.id.to_string(),
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
        external_ids: external_ids_message(shown.external_ids),
        etag: grant.version.etag(),
        ..GrantMessage::default()
    };
    match grant.holder {
        Holder::Resident(id) => message.resident_id = id.to_string(),
        Holder::Household(id) => message.household_id = id.to_string(),
    }
    if let Target::Group(id) = grant.target {
        message.device_group_id = id.to_string();
    }
    if let Some((partner, device)) = shown.device {
        message.partner_id = partner.to_string();
        message.device_id = device;
    }
    message
}
