use clap::{Args, Subcommand, ValueEnum};
use propdev_proto::access::{
    self, CreateDeviceRequest, DeleteDeviceRequest, DeviceKind, DeviceName, GetDeviceRequest,
    ListDevicesRequest, SetDeviceFreePassageRequest, SetDeviceLockdownRequest,
    SetDeviceStateRequest, UpdateDeviceRequest, device_service_client::DeviceServiceClient,
};
use serde_json::json;

use super::{device_group::parse_device, site::Switch};
use crate::{
    connection::Session,
    error::Failure,
    output::{Row, short},
    pages::Limit,
    reference::{ChangedExternalIds, Changes, Etag, ExternalIds, Named as Reference, parse_named},
};

#[derive(Subcommand)]
pub(crate) enum Device {
    Add(Add),
    List {
        /// UUID; without it, of all partners
        #[arg(long, default_value = "", hide_default_value = true)]
        partner: String,
        /// UUID; without it, of all sites
        #[arg(long, default_value = "", hide_default_value = true)]
        site: String,
        /// UUID; without it, of all entrances
        #[arg(long, default_value = "", hide_default_value = true)]
        entrance: String,
        #[command(flatten)]
        limit: Limit,
    },
    Get {
        /// As PARTNER/ID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        device: Reference,
    },
    Update(Update),
    /// With it end the grants on it
    Delete {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        etag: Etag,
    },
    /// Open it for nobody
    Disable(Named),
    Enable(Named),
    /// Open it for nobody, or as before
    Lockdown {
        #[command(flatten)]
        named: Named,
        #[arg(value_enum)]
        state: Switch,
    },
    /// Open it for every resident, as in a fire, or as before; beats lockdown
    FreePassage {
        #[command(flatten)]
        named: Named,
        #[arg(value_enum)]
        state: Switch,
    },
}

#[derive(Args)]
pub(crate) struct Add {
    /// UUID
    #[arg(long)]
    partner: String,
    /// UUID
    #[arg(long)]
    site: String,
    #[arg(long, value_enum)]
    kind: Kind,
    /// The partner's own id of the device
    #[arg(long)]
    id: String,
    /// For people
    #[arg(long)]
    name: String,
    /// IANA name, e.g. Europe/Moscow: schedules are read in it
    #[arg(long)]
    time_zone: String,
    /// UUID of an entrance of the site
    #[arg(long, default_value = "", hide_default_value = true)]
    entrance: String,
    #[command(flatten)]
    external_ids: ExternalIds,
}

#[derive(Args)]
pub(crate) struct Update {
    #[command(flatten)]
    named: Named,
    #[arg(long)]
    name: Option<String>,
    /// IANA name
    #[arg(long)]
    time_zone: Option<String>,
    /// UUID of an entrance of the site; '' for none
    #[arg(long)]
    entrance: Option<String>,
    #[command(flatten)]
    external_ids: ChangedExternalIds,
    #[command(flatten)]
    etag: Etag,
}

#[derive(Args)]
pub(crate) struct Named {
    /// UUID
    #[arg(long)]
    partner: String,
    /// The partner's own id of the device
    #[arg(long)]
    id: String,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    Door,
    Barrier,
}

impl From<Kind> for i32 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Door => DeviceKind::Door.into(),
            Kind::Barrier => DeviceKind::Barrier.into(),
        }
    }
}

pub(super) fn show_kind(kind: DeviceKind) -> String {
    short(kind.as_str_name(), "DEVICE_KIND_")
}

impl Device {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut devices = DeviceServiceClient::new(session.access()?);
        let (named, disabled) = match self {
            Self::Add(add) => {
                let device = access::Device {
                    device_id: add.id,
                    partner_id: add.partner,
                    site_id: add.site,
                    kind: add.kind.into(),
                    name: add.name,
                    time_zone: add.time_zone,
                    entrance_id: add.entrance,
                    external_ids: add.external_ids.into_map(),
                    ..access::Device::default()
                };
                let request = CreateDeviceRequest {
                    device: Some(device),
                };
                let reply = devices.create_device(request).await?.into_inner();
                return session.output.one(reply.device.as_ref());
            }
            Self::List {
                partner,
                site,
                entrance,
                limit,
            } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListDevicesRequest {
                            page_size,
                            page_token,
                            partner_id: partner.clone(),
                            site_id: site.clone(),
                            entrance_id: entrance.clone(),
                        };
                        let reply = devices.list_devices(request).await?.into_inner();
                        Ok((reply.devices, reply.next_page_token))
                    })
                    .await?;
                return session.output.list(&listed);
            }
            Self::Get { device } => {
                let request = get_request(device)?;
                let reply = devices.get_device(request).await?.into_inner();
                return session.output.one(reply.device.as_ref());
            }
            Self::Update(update) => {
                let request = update.request()?;
                let reply = devices.update_device(request).await?.into_inner();
                return session.output.one(reply.device.as_ref());
            }
            Self::Delete { named, etag } => {
                let sentence = format!("device {} deleted", named.id);
                let told = json!({ "partner_id": named.partner, "device_id": named.id });
                let request = DeleteDeviceRequest {
                    device: Some(named.into()),
                    etag: etag.etag,
                };
                devices.delete_device(request).await?;
                return session.output.done(told, &sentence);
            }
            Self::Lockdown { named, state } => {
                let request = SetDeviceLockdownRequest {
                    partner_id: named.partner,
                    device_id: named.id,
                    lockdown: state.is_on(),
                };
                let reply = devices.set_device_lockdown(request).await?.into_inner();
                return session.output.one(reply.device.as_ref());
            }
            Self::FreePassage { named, state } => {
                let request = SetDeviceFreePassageRequest {
                    partner_id: named.partner,
                    device_id: named.id,
                    free_passage: state.is_on(),
                };
                let reply = devices.set_device_free_passage(request).await?.into_inner();
                return session.output.one(reply.device.as_ref());
            }
            Self::Disable(named) => (named, true),
            Self::Enable(named) => (named, false),
        };
        let request = SetDeviceStateRequest {
            partner_id: named.partner,
            device_id: named.id,
            disabled,
        };
        let reply = devices.set_device_state(request).await?.into_inner();
        session.output.one(reply.device.as_ref())
    }
}

impl From<Named> for DeviceName {
    fn from(named: Named) -> Self {
        Self {
            partner_id: named.partner,
            device_id: named.id,
        }
    }
}

fn get_request(device: Reference) -> Result<GetDeviceRequest, Failure> {
    let name = match &device.external_id {
        Some(_) => None,
        None => Some(parse_device(&device.id).map_err(Failure::Usage)?),
    };
    Ok(GetDeviceRequest {
        device: name,
        external_id: device.external_id,
    })
}

impl Update {
    fn request(self) -> Result<UpdateDeviceRequest, Failure> {
        let mut changes = Changes::default();
        let device = access::Device {
            partner_id: self.named.partner,
            device_id: self.named.id,
            name: changes.take("name", self.name),
            time_zone: changes.take("time_zone", self.time_zone),
            entrance_id: changes.take("entrance_id", self.entrance),
            external_ids: changes.take("external_ids", self.external_ids.changed()),
            etag: self.etag.etag,
            ..access::Device::default()
        };
        Ok(UpdateDeviceRequest {
            device: Some(device),
            update_mask: changes.mask()?,
        })
    }
}

fn state(device: &access::Device) -> String {
    let disabled = if device.disabled {
        "disabled"
    } else {
        "active"
    };
    let orders = [
        (device.lockdown, "lockdown"),
        (device.free_passage, "free passage"),
    ];
    let in_force = orders.iter().filter(|(on, _)| *on).map(|(_, name)| *name);
    let words: Vec<&str> = std::iter::once(disabled).chain(in_force).collect();
    words.join(", ")
}

impl Row for access::Device {
    const MESSAGE: &'static str = "propdev.access.v1.Device";
    const COLUMNS: &'static [&'static str] = &[
        "DEVICE",
        "KIND",
        "NAME",
        "PARTNER",
        "SITE",
        "TIME ZONE",
        "STATE",
        "ETAG",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.device_id.clone(),
            show_kind(self.kind()),
            self.name.clone(),
            self.partner_id.clone(),
            self.site_id.clone(),
            self.time_zone.clone(),
            state(self),
            self.etag.clone(),
        ]
    }
}
