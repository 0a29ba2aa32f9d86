use std::collections::BTreeSet;

use propdev_proto::access::{
    CreateDeviceGroupRequest, CreateDeviceGroupResponse, DeleteDeviceGroupRequest,
    DeleteDeviceGroupResponse, DeviceGroup as GroupMessage, DeviceName as NameMessage,
    GetDeviceGroupRequest, GetDeviceGroupResponse, ListDeviceGroupsRequest,
    ListDeviceGroupsResponse, UpdateDeviceGroupRequest, UpdateDeviceGroupResponse,
    device_group_service_server::DeviceGroupService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    change::change,
    convert::{
        by, caller, external_ids, external_ids_message, fault, id, next_page, optional_id, page,
    },
    device::{name, name_message},
    mask::Mask,
};
use crate::{
    app::WholeGroup,
    domain::{device::DeviceName, etag::IfMatch},
    error::Error,
    store::DeviceGroupChange,
};

#[tonic::async_trait]
impl DeviceGroupService for Api {
    async fn create_device_group(
        &self,
        request: Request<CreateDeviceGroupRequest>,
    ) -> Result<Response<CreateDeviceGroupResponse>, Status> {
        let caller = caller(&request)?;
        let new = request
            .into_inner()
            .device_group
            .ok_or_else(|| fault("device_group", "is required"))?;
        let site = id("site_id", &new.site_id)?;
        let devices = devices(new.devices)?;
        let given = external_ids(new.external_ids)?;
        let group = self
            .app
            .create_device_group(site, new.name, devices, given, &caller)
            .await?;
        Ok(Response::new(CreateDeviceGroupResponse {
            device_group: Some(message(group)),
        }))
    }

    async fn get_device_group(
        &self,
        request: Request<GetDeviceGroupRequest>,
    ) -> Result<Response<GetDeviceGroupResponse>, Status> {
        let request = request.into_inner();
        let by = by(
            "device_group_id",
            &request.device_group_id,
            request.external_id,
        )?;
        let group = self.app.get_device_group(by).await?;
        Ok(Response::new(GetDeviceGroupResponse {
            device_group: Some(message(group)),
        }))
    }

    async fn list_device_groups(
        &self,
        request: Request<ListDeviceGroupsRequest>,
    ) -> Result<Response<ListDeviceGroupsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let site = optional_id("site_id", &request.site_id)?;
        let (mut groups, page) = self.app.list_device_groups(site, page).await?;
        let next_page_token = next_page(&mut groups, page, |((group, _), _)| group.id);
        Ok(Response::new(ListDeviceGroupsResponse {
            device_groups: groups.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_device_group(
        &self,
        request: Request<UpdateDeviceGroupRequest>,
    ) -> Result<Response<UpdateDeviceGroupResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = request
            .device_group
            .ok_or_else(|| fault("device_group", "is required"))?;
        let mask = Mask::of(
            request.update_mask,
            &[
                ("name", !new.name.is_empty()),
                ("devices", !new.devices.is_empty()),
                ("external_ids", !new.external_ids.is_empty()),
            ],
        )?;
        let id = id("device_group_id", &new.device_group_id)?;
        let replacing = mask.take("devices", new.devices);
        let change = DeviceGroupChange {
            common: change(&mask, new.name, new.external_ids, new.etag, caller)?,
            devices: replacing.map(devices).transpose()?,
        };
        let group = self.app.update_device_group(id, change).await?;
        Ok(Response::new(UpdateDeviceGroupResponse {
            device_group: Some(message(group)),
        }))
    }

    async fn delete_device_group(
        &self,
        request: Request<DeleteDeviceGroupRequest>,
    ) -> Result<Response<DeleteDeviceGroupResponse>, Status> {
        let request = request.into_inner();
        let id = id("device_group_id", &request.device_group_id)?;
        let if_match = IfMatch::of(request.etag);
        self.app.delete_device_group(id, if_match).await?;
        Ok(Response::new(DeleteDeviceGroupResponse {}))
    }
}

fn devices(names: Vec<NameMessage>) -> Result<BTreeSet<DeviceName>, Error> {
    names.into_iter().map(name).collect()
}

fn message(((group, external_ids), devices): WholeGroup) -> GroupMessage {
    GroupMessage {
        device_group_id: group.id.to_string(),
        site_id: group.site.to_string(),
        name: group.name,
        devices: devices.into_iter().map(name_message).collect(),
        external_ids: external_ids_message(external_ids),
        etag: group.version.etag(),
    }
}
