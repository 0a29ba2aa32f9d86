use clap::Subcommand;
use propdev_proto::access::{
    self, CreateDeviceGroupRequest, DeleteDeviceGroupRequest, DeviceName, GetDeviceGroupRequest,
    ListDeviceGroupsRequest, UpdateDeviceGroupRequest,
    device_group_service_client::DeviceGroupServiceClient,
};
use serde_json::json;

use crate::{
    connection::Session,
    error::Failure,
    output::Row,
    pages::Limit,
    reference::{ChangedExternalIds, Changes, Etag, ExternalIds, Named, parse_named},
};

#[derive(Subcommand)]
pub(crate) enum DeviceGroup {
    Add {
        /// UUID
        #[arg(long)]
        site: String,
        /// For people
        #[arg(long)]
        name: String,
        /// As PARTNER/ID, the partner's UUID and its own id of the device; may be repeated
        #[arg(long, value_name = "PARTNER/ID", value_parser = parse_device)]
        device: Vec<DeviceName>,
        #[command(flatten)]
        external_ids: ExternalIds,
    },
    Get {
        /// UUID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        device_group: Named,
    },
    List {
        /// UUID; without it, of all sites
        #[arg(long, default_value = "", hide_default_value = true)]
        site: String,
        #[command(flatten)]
        limit: Limit,
    },
    Update {
        device_group_id: String,
        #[arg(long)]
        name: Option<String>,
        /// In place of all its devices, as PARTNER/ID; may be repeated
        #[arg(long, value_name = "PARTNER/ID", value_parser = parse_device)]
        device: Vec<DeviceName>,
        /// Take all its devices away
        #[arg(long, conflicts_with = "device")]
        no_devices: bool,
        #[command(flatten)]
        external_ids: ChangedExternalIds,
        #[command(flatten)]
        etag: Etag,
    },
    /// With it end the grants on it
    Delete {
        device_group_id: String,
        #[command(flatten)]
        etag: Etag,
    },
}

pub(crate) fn parse_device(text: &str) -> Result<DeviceName, String> {
    match text.split_once('/') {
        Some((partner, id)) if !partner.is_empty() && !id.is_empty() => Ok(DeviceName {
            partner_id: partner.to_owned(),
            device_id: id.to_owned(),
        }),
        _ => Err("not PARTNER/ID".into()),
    }
}

impl DeviceGroup {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut groups = DeviceGroupServiceClient::new(session.access()?);
        match self {
            Self::Add {
                site,
                name,
                device,
                external_ids,
            } => {
                let group = access::DeviceGroup {
                    site_id: site,
                    name,
                    devices: device,
                    external_ids: external_ids.into_map(),
                    ..access::DeviceGroup::default()
                };
                let request = CreateDeviceGroupRequest {
                    device_group: Some(group),
                };
                let reply = groups.create_device_group(request).await?.into_inner();
                session.output.one(reply.device_group.as_ref())
            }
            Self::Get { device_group } => {
                let request = GetDeviceGroupRequest {
                    device_group_id: device_group.id,
                    external_id: device_group.external_id,
                };
                let reply = groups.get_device_group(request).await?.into_inner();
                session.output.one(reply.device_group.as_ref())
            }
            Self::List { site, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListDeviceGroupsRequest {
                            page_size,
                            page_token,
                            site_id: site.clone(),
                        };
                        let reply = groups.list_device_groups(request).await?.into_inner();
                        Ok((reply.device_groups, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Update {
                device_group_id,
                name,
                device,
                no_devices,
                external_ids,
                etag,
            } => {
                let mut changes = Changes::default();
                let devices = (no_devices || !device.is_empty()).then_some(device);
                let group = access::DeviceGroup {
                    device_group_id,
                    name: changes.take("name", name),
                    devices: changes.take("devices", devices),
                    external_ids: changes.take("external_ids", external_ids.changed()),
                    etag: etag.etag,
                    ..access::DeviceGroup::default()
                };
                let request = UpdateDeviceGroupRequest {
                    device_group: Some(group),
                    update_mask: changes.mask()?,
                };
                let reply = groups.update_device_group(request).await?.into_inner();
                session.output.one(reply.device_group.as_ref())
            }
            Self::Delete {
                device_group_id,
                etag,
            } => {
                let request = DeleteDeviceGroupRequest {
                    device_group_id: device_group_id.clone(),
                    etag: etag.etag,
                };
                groups.delete_device_group(request).await?;
                session.output.done(
                    json!({ "device_group_id": device_group_id }),
                    &format!("device group {device_group_id} deleted"),
                )
            }
        }
    }
}

impl Row for access::DeviceGroup {
    const MESSAGE: &'static str = "propdev.access.v1.DeviceGroup";
    const COLUMNS: &'static [&'static str] = &["DEVICE GROUP", "NAME", "SITE", "DEVICES", "ETAG"];

    fn cells(&self) -> Vec<String> {
        let devices: Vec<&str> = self.devices.iter().map(|d| d.device_id.as_str()).collect();
        vec![
            self.device_group_id.clone(),
            self.name.clone(),
            self.site_id.clone(),
            devices.join(","),
            self.etag.clone(),
        ]
    }
}
