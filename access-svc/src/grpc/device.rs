use propdev_proto::access::{
    CreateDeviceRequest, CreateDeviceResponse, DeleteDeviceRequest, DeleteDeviceResponse,
    Device as DeviceMessage, DeviceName as NameMessage, GetDeviceRequest, GetDeviceResponse,
    ListDevicesRequest, ListDevicesResponse, SetDeviceFreePassageRequest,
    SetDeviceFreePassageResponse, SetDeviceLockdownRequest, SetDeviceLockdownResponse,
    SetDeviceStateRequest, SetDeviceStateResponse, UpdateDeviceRequest, UpdateDeviceResponse,
    device_service_server::DeviceService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    change::change,
    convert::{
        actor, caller, external_id, external_ids, external_ids_message, fault, id, kind,
        kind_message, next_page, optional_id, page,
    },
    mask::Mask,
};
use crate::{
    app::Named,
    domain::{
        device::{Device, DeviceName},
        etag::{IfMatch, Version},
        passage::{Order, Passage},
    },
    error::Error,
    store::{DeviceChange, DeviceFilter},
};

#[tonic::async_trait]
impl DeviceService for Api {
    async fn create_device(
        &self,
        request: Request<CreateDeviceRequest>,
    ) -> Result<Response<CreateDeviceResponse>, Status> {
        let caller = caller(&request)?;
        let new = request
            .into_inner()
            .device
            .ok_or_else(|| fault("device", "is required"))?;
        let device = Device {
            uid: Uuid::now_v7(),
            partner: id("partner_id", &new.partner_id)?,
            site: id("site_id", &new.site_id)?,
            entrance: optional_id("entrance_id", &new.entrance_id)?,
            kind: kind(new.kind())?,
            id: new.device_id,
            name: new.name,
            time_zone: new.time_zone,
            disabled: false,
            passage: Passage::default(),
            version: Version::FIRST,
        };
        let given = external_ids(new.external_ids)?;
        let device = self.app.create_device(device, given, &caller).await?;
        Ok(Response::new(CreateDeviceResponse {
            device: Some(message(device)),
        }))
    }

    async fn get_device(
        &self,
        request: Request<GetDeviceRequest>,
    ) -> Result<Response<GetDeviceResponse>, Status> {
        let request = request.into_inner();
        let device = match (request.device, request.external_id) {
            (Some(device), None) => self.app.get_device(name(device)?).await?,
            (None, Some(called)) => self.app.get_device_called(external_id(called)?).await?,
            (None, None) => return Err(fault("device", "or external_id is required").into()),
            (Some(_), Some(_)) => {
                return Err(fault("device", "and external_id exclude each other").into());
            }
        };
        Ok(Response::new(GetDeviceResponse {
            device: Some(message(device)),
        }))
    }

    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let filter = DeviceFilter {
            partner: optional_id("partner_id", &request.partner_id)?,
            site: optional_id("site_id", &request.site_id)?,
            entrance: optional_id("entrance_id", &request.entrance_id)?,
        };
        let mut devices = self.app.list_devices(filter, page).await?;
        let next_page_token = next_page(&mut devices, page, |(device, _)| device.uid);
        Ok(Response::new(ListDevicesResponse {
            devices: devices.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_device(
        &self,
        request: Request<UpdateDeviceRequest>,
    ) -> Result<Response<UpdateDeviceResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = request
            .device
            .ok_or_else(|| fault("device", "is required"))?;
        let mask = Mask::of(
            request.update_mask,
            &[
                ("name", !new.name.is_empty()),
                ("time_zone", !new.time_zone.is_empty()),
                ("entrance_id", !new.entrance_id.is_empty()),
                ("external_ids", !new.external_ids.is_empty()),
            ],
        )?;
        let which = DeviceName {
            partner: id("partner_id", &new.partner_id)?,
            id: new.device_id,
        };
        let entrance = mask.take("entrance_id", new.entrance_id);
        let change = DeviceChange {
            common: change(&mask, new.name, new.external_ids, new.etag, caller)?,
            time_zone: mask.take("time_zone", new.time_zone),
            entrance: entrance
                .map(|text| optional_id("entrance_id", &text))
                .transpose()?,
        };
        let device = self.app.update_device(which, change).await?;
        Ok(Response::new(UpdateDeviceResponse {
            device: Some(message(device)),
        }))
    }

    async fn delete_device(
        &self,
        request: Request<DeleteDeviceRequest>,
    ) -> Result<Response<DeleteDeviceResponse>, Status> {
        let request = request.into_inner();
        let device = request
            .device
            .ok_or_else(|| fault("device", "is required"))?;
        let if_match = IfMatch::of(request.etag);
        self.app.delete_device(name(device)?, if_match).await?;
        Ok(Response::new(DeleteDeviceResponse {}))
    }

    async fn set_device_state(
        &self,
        request: Request<SetDeviceStateRequest>,
    ) -> Result<Response<SetDeviceStateResponse>, Status> {
        let request = request.into_inner();
        let partner = id("partner_id", &request.partner_id)?;
        let device = self
            .app
            .set_device_state(partner, request.device_id, request.disabled)
            .await?;
        Ok(Response::new(SetDeviceStateResponse {
            device: Some(message(device)),
        }))
    }

    async fn set_device_lockdown(
        &self,
        request: Request<SetDeviceLockdownRequest>,
    ) -> Result<Response<SetDeviceLockdownResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let partner = id("partner_id", &request.partner_id)?;
        let (order, on) = (Order::Lockdown, request.lockdown);
        let device = self
            .app
            .order_device(partner, &request.device_id, order, on, actor)
            .await?;
        Ok(Response::new(SetDeviceLockdownResponse {
            device: Some(message(device)),
        }))
    }

    async fn set_device_free_passage(
        &self,
        request: Request<SetDeviceFreePassageRequest>,
    ) -> Result<Response<SetDeviceFreePassageResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let partner = id("partner_id", &request.partner_id)?;
        let (order, on) = (Order::FreePassage, request.free_passage);
        let device = self
            .app
            .order_device(partner, &request.device_id, order, on, actor)
            .await?;
        Ok(Response::new(SetDeviceFreePassageResponse {
            device: Some(message(device)),
        }))
    }
}

pub(super) fn name(message: NameMessage) -> Result<DeviceName, Error> {
    Ok(DeviceName {
        partner: id("partner_id", &message.partner_id)?,
        id: message.device_id,
    })
}

pub(super) fn name_message(name: DeviceName) -> NameMessage {
    NameMessage {
        partner_id: name.partner.to_string(),
        device_id: name.id,
    }
}

fn message((device, external_ids): Named<Device>) -> DeviceMessage {
    DeviceMessage {
        device_id: device.id,
        partner_id: device.partner.to_string(),
        site_id: device.site.to_string(),
        kind: kind_message(device.kind),
        name: device.name,
        time_zone: device.time_zone,
        disabled: device.disabled,
        lockdown: device.passage.lockdown,
        free_passage: device.passage.free,
        entrance_id: device
            .entrance
            .map_or_else(String::new, |entrance| entrance.to_string()),
        external_ids: external_ids_message(external_ids),
        etag: device.version.etag(),
    }
}
