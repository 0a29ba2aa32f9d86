use propdev_proto::access::{
    CreateGuestRequest, CreateGuestResponse, EndGuestRequest, EndGuestResponse, ExtendGuestRequest,
    ExtendGuestResponse, GetGuestRequest, GetGuestResponse, Grant as GrantMessage, GrantTarget,
    Guest as GuestMessage, ListGuestsRequest, ListGuestsResponse, WeeklyWindow,
    guest_service_server::GuestService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{actor, fault, id, next_page, optional_id, page, sees_persons, time, timestamp},
    grant::window,
};
use crate::{
    app::Invitation,
    domain::{
        etag::{IfMatch, Version},
        plate::Plate,
    },
    error::Error,
    store::{Guest, Target},
};

#[tonic::async_trait]
impl GuestService for Api {
    async fn create_guest(
        &self,
        request: Request<CreateGuestRequest>,
    ) -> Result<Response<CreateGuestResponse>, Status> {
        let request = request.into_inner();
        let plate = request.plate.map(|reading| {
            let number = Zeroizing::new(reading.number);
            Plate::parse(&number, &reading.country)
                .map_err(|error| Error::InvalidPlate(error.to_string()))
        });
        let invited = Invitation {
            household: id("household_id", &request.household_id)?,
            name: Zeroizing::new(request.name),
            ends_at: time("ends_at", request.ends_at)?,
            plate: plate.transpose()?,
            targets: request
                .targets
                .iter()
                .map(target)
                .collect::<Result<_, _>>()?,
            windows: request
                .windows
                .iter()
                .map(window)
                .collect::<Result<_, _>>()?,
        };
        let (guest, ids) = self.app.create_guest(invited).await?;
        let grants = ids.into_iter().zip(request.targets);
        Ok(Response::new(CreateGuestResponse {
            grants: grants
                .map(|(id, target)| grant(id, &guest, target, request.windows.clone()))
                .collect(),
            guest: Some(message(guest)),
        }))
    }

    async fn get_guest(
        &self,
        request: Request<GetGuestRequest>,
    ) -> Result<Response<GetGuestResponse>, Status> {
        let with_name = sees_persons(&request);
        let id = id("guest_id", &request.into_inner().guest_id)?;
        Ok(Response::new(GetGuestResponse {
            guest: Some(message(self.app.guest(id, with_name).await?)),
        }))
    }

    async fn list_guests(
        &self,
        request: Request<ListGuestsRequest>,
    ) -> Result<Response<ListGuestsResponse>, Status> {
        let with_names = sees_persons(&request);
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let household = optional_id("household_id", &request.household_id)?;
        let mut guests = self.app.list_guests(household, page, with_names).await?;
        let next_page_token = next_page(&mut guests, page, |guest| guest.resident.id);
        Ok(Response::new(ListGuestsResponse {
            guests: guests.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn extend_guest(
        &self,
        request: Request<ExtendGuestRequest>,
    ) -> Result<Response<ExtendGuestResponse>, Status> {
        let with_name = sees_persons(&request);
        let request = request.into_inner();
        let id = id("guest_id", &request.guest_id)?;
        let ends_at = time("ends_at", request.ends_at)?;
        let if_match = IfMatch::of(request.etag);
        self.app.extend_guest(id, if_match, ends_at).await?;
        Ok(Response::new(ExtendGuestResponse {
            guest: Some(message(self.app.guest(id, with_name).await?)),
        }))
    }

    async fn end_guest(
        &self,
        request: Request<EndGuestRequest>,
    ) -> Result<Response<EndGuestResponse>, Status> {
        let requested_by = actor(&request);
        let id = id("guest_id", &request.into_inner().guest_id)?;
        self.app.end_guest(id, requested_by).await?;
        Ok(Response::new(EndGuestResponse {}))
    }
}

fn target(message: &GrantTarget) -> Result<Target, Error> {
    match (&message.device, message.device_group_id.as_str()) {
        (Some(device), "") => Ok(Target::Device {
            partner: id("targets.device.partner_id", &device.partner_id)?,
            id: device.device_id.clone(),
        }),
        (None, group) if !group.is_empty() => {
            Ok(Target::Group(id("targets.device_group_id", group)?))
        }
        _ => Err(fault("targets", "are a device or a group each")),
    }
}

fn grant(id: Uuid, guest: &Guest, target: GrantTarget, windows: Vec<WeeklyWindow>) -> GrantMessage {
    let device = target.device.unwrap_or_default();
    GrantMessage {
        grant_id: id.to_string(),
        resident_id: guest.resident.id.to_string(),
        partner_id: device.partner_id,
        device_id: device.device_id,
        device_group_id: target.device_group_id,
        windows,
        ends_at: guest.resident.guest_until.and_then(timestamp),
        etag: Version::FIRST.etag(),
        ..GrantMessage::default()
    }
}

fn message(guest: Guest) -> GuestMessage {
    let resident = guest.resident;
    GuestMessage {
        guest_id: resident.id.to_string(),
        household_id: resident.host.map_or_else(String::new, |id| id.to_string()),
        name: guest.name.map_or_else(String::new, |name| name.to_string()),
        ends_at: resident.guest_until.and_then(timestamp),
        audit_pseudonym: resident.audit_pseudonym.to_string(),
        etag: resident.version.etag(),
    }
}
