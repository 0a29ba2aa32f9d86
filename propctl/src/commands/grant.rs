use clap::{Args, Subcommand};
use jiff::Timestamp;
use propdev_proto::access::{
    self, CreateGrantRequest, DeviceName, GetGrantRequest, ListGrantsRequest, RevokeGrantRequest,
    UpdateGrantRequest, WeeklyWindow, grant_service_client::GrantServiceClient,
};
use serde_json::json;

use crate::{
    connection::Session,
    error::Failure,
    moment,
    output::{Row, or_dash},
    pages::Limit,
    reference::{ChangedExternalIds, Changes, Etag, ExternalIds, Named, parse_named},
    window,
};

#[derive(Subcommand)]
pub(crate) enum Grant {
    /// Let a resident or a household open a device or a group of devices
    Add(Add),
    Get {
        /// UUID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        grant: Named,
    },
    /// All of them, or those of one holder, or on one device or group
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        limit: Limit,
    },
    /// Change when it holds; whose it is and on what never changes
    Update(Update),
    Revoke {
        grant_id: String,
        #[command(flatten)]
        etag: Etag,
    },
}

#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    holder: Holder,
    #[command(flatten)]
    target: Target,
    /// In the device's time zone, e.g. 'mon-fri 08:00-20:00' or 'daily 22:00-06:00'; may be
    /// repeated; without it, at any time
    #[arg(long, value_parser = window::parse)]
    window: Vec<WeeklyWindow>,
    /// RFC 3339, or a date for the end of that day in UTC; without it, no end
    #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
    ends_at: Option<Timestamp>,
    #[command(flatten)]
    external_ids: ExternalIds,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Holder {
    /// UUID
    #[arg(long)]
    resident: Option<String>,
    /// UUID; every member may open, a guest may not
    #[arg(long)]
    household: Option<String>,
}

#[derive(Args)]
pub(crate) struct Target {
    /// UUID
    #[arg(long, requires = "device", required_unless_present = "group")]
    partner: Option<String>,
    /// The partner's own id of the device
    #[arg(long, requires = "partner")]
    device: Option<String>,
    /// UUID of a group of devices
    #[arg(long, conflicts_with_all = ["partner", "device"])]
    group: Option<String>,
}

#[derive(Args)]
pub(crate) struct Filter {
    /// UUID
    #[arg(long, conflicts_with_all = ["household", "partner", "device", "group"])]
    resident: Option<String>,
    /// UUID
    #[arg(long, conflicts_with_all = ["partner", "device", "group"])]
    household: Option<String>,
    /// UUID
    #[arg(long, requires = "device")]
    partner: Option<String>,
    /// The partner's own id of the device
    #[arg(long, requires = "partner")]
    device: Option<String>,
    /// UUID of a group of devices
    #[arg(long, conflicts_with_all = ["partner", "device"])]
    group: Option<String>,
}

impl Filter {
    fn request(&self) -> ListGrantsRequest {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let device = self.partner.is_some() || self.device.is_some();
        ListGrantsRequest {
            resident_id: text(&self.resident),
            household_id: text(&self.household),
            device: device.then(|| DeviceName {
                partner_id: text(&self.partner),
                device_id: text(&self.device),
            }),
            device_group_id: text(&self.group),
            ..ListGrantsRequest::default()
        }
    }
}

#[derive(Args)]
pub(crate) struct Update {
    grant_id: String,
    /// Instead of those it has; may be repeated
    #[arg(long, value_parser = window::parse)]
    window: Vec<WeeklyWindow>,
    /// Without any window
    #[arg(long, conflicts_with = "window")]
    any_time: bool,
    /// RFC 3339, or a date for the end of that day in UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
    ends_at: Option<Timestamp>,
    #[arg(long, conflicts_with = "ends_at")]
    no_end: bool,
    #[command(flatten)]
    external_ids: ChangedExternalIds,
    #[command(flatten)]
    etag: Etag,
}

impl Update {
    fn request(self) -> Result<UpdateGrantRequest, Failure> {
        let mut changes = Changes::default();
        let windows = self.any_time || !self.window.is_empty();
        let ends_at = self.ends_at.map(moment::to_proto);
        let ends = self.no_end || ends_at.is_some();
        let grant = access::Grant {
            grant_id: self.grant_id,
            windows: changes.take("windows", windows.then_some(self.window)),
            ends_at: changes.take("ends_at", ends.then_some(ends_at)),
            external_ids: changes.take("external_ids", self.external_ids.changed()),
            etag: self.etag.etag,
            ..access::Grant::default()
        };
        Ok(UpdateGrantRequest {
            grant: Some(grant),
            update_mask: changes.mask()?,
        })
    }
}

impl Grant {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut grants = GrantServiceClient::new(session.access()?);
        match self {
            Self::Add(add) => {
                let grant = access::Grant {
                    resident_id: add.holder.resident.unwrap_or_default(),
                    household_id: add.holder.household.unwrap_or_default(),
                    partner_id: add.target.partner.unwrap_or_default(),
                    device_id: add.target.device.unwrap_or_default(),
                    device_group_id: add.target.group.unwrap_or_default(),
                    windows: add.window,
                    ends_at: add.ends_at.map(moment::to_proto),
                    external_ids: add.external_ids.into_map(),
                    ..access::Grant::default()
                };
                let request = CreateGrantRequest { grant: Some(grant) };
                let reply = grants.create_grant(request).await?.into_inner();
                session.output.one(reply.grant.as_ref())
            }
            Self::Get { grant } => {
                let request = GetGrantRequest {
                    grant_id: grant.id,
                    external_id: grant.external_id,
                };
                let reply = grants.get_grant(request).await?.into_inner();
                session.output.one(reply.grant.as_ref())
            }
            Self::List { filter, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListGrantsRequest {
                            page_size,
                            page_token,
                            ..filter.request()
                        };
                        let reply = grants.list_grants(request).await?.into_inner();
                        Ok((reply.grants, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Update(update) => {
                let reply = grants.update_grant(update.request()?).await?.into_inner();
                session.output.one(reply.grant.as_ref())
            }
            Self::Revoke { grant_id, etag } => {
                let request = RevokeGrantRequest {
                    grant_id: grant_id.clone(),
                    etag: etag.etag,
                };
                grants.revoke_grant(request).await?;
                session.output.done(
                    json!({ "grant_id": grant_id }),
                    &format!("grant {grant_id} revoked"),
                )
            }
        }
    }
}

impl Row for access::Grant {
    const MESSAGE: &'static str = "propdev.access.v1.Grant";
    const COLUMNS: &'static [&'static str] = &[
        "GRANT",
        "RESIDENT",
        "HOUSEHOLD",
        "PARTNER",
        "DEVICE",
        "GROUP",
        "WINDOWS",
        "ENDS",
        "ETAG",
    ];

    fn cells(&self) -> Vec<String> {
        let windows: Vec<String> = self.windows.iter().map(window::show).collect();
        vec![
            self.grant_id.clone(),
            or_dash(&self.resident_id),
            or_dash(&self.household_id),
            or_dash(&self.partner_id),
            or_dash(&self.device_id),
            or_dash(&self.device_group_id),
            if windows.is_empty() {
                "any time".into()
            } else {
                windows.join("; ")
            },
            moment::show(self.ends_at.as_ref()),
            self.etag.clone(),
        ]
    }
}
