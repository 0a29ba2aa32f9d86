use propdev_proto::access::{
    CreateDeviceRequest, CreateDeviceResponse, Device as DeviceMessage, ListDevicesRequest,
    ListDevicesResponse, SetDeviceFreePassageRequest, SetDeviceFreePassageResponse,
    SetDeviceLockdownRequest, SetDeviceLockdownResponse, SetDeviceStateRequest,
    SetDeviceStateResponse, device_service_server::DeviceService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    convert::{actor, fault, id, kind, kind_message, next_page, optional_id, page},
};
use crate::domain::{
    device::Device,
    passage::{Order, Passage},
};

#[tonic::async_trait]
impl DeviceService for Api {
    async fn create_device(
        &self,
        request: Request<CreateDeviceRequest>,
    ) -> Result<Response<CreateDeviceResponse>, Status> {
        let new = request
            .into_inner()
            .device
            .ok_or_else(|| fault("device", "is required"))?;
        let device = self
            .app
            .create_device(Device {
                uid: Uuid::now_v7(),
                partner: id("partner_id", &new.partner_id)?,
                site: id("site_id", &new.site_id)?,
                kind: kind(new.kind())?,
                id: new.device_id,
                name: new.name,
                time_zone: new.time_zone,
                disabled: false,
                passage: Passage::default(),
            })
            .await?;
        Ok(Response::new(CreateDeviceResponse {
            device: Some(message(device)),
        }))
    }

    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let partner = optional_id("partner_id", &request.partner_id)?;
        let mut devices = self.app.list_devices(partner, page).await?;
        let next_page_token = next_page(&mut devices, page, |device| device.uid);
        Ok(Response::new(ListDevicesResponse {
            devices: devices.into_iter().map(message).collect(),
            next_page_token,
        }))
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

fn message(device: Device) -> DeviceMessage {
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
    }
}
