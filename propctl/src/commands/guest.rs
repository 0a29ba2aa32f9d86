use clap::{ArgGroup, Args, Subcommand};
use jiff::Timestamp;
use propdev_proto::{
    access::{
        self, CreateGuestRequest, DeviceName, EndGuestRequest, ExtendGuestRequest, GetGuestRequest,
        GrantTarget, ListGuestsRequest, WeeklyWindow, guest_service_client::GuestServiceClient,
    },
    auth::PlateReading,
};
use serde_json::json;

use super::device_group::parse_device;
use crate::{
    connection::Session,
    error::Failure,
    input, moment,
    output::{Row, or_dash},
    pages::Limit,
    reference::Etag,
    window,
};

#[derive(Subcommand)]
pub(crate) enum Guest {
    /// Let somebody in until an end; resident enrol-face takes the guest's id
    Add(Add),
    /// The name is shown to operator/privacy alone
    Get { guest_id: String },
    /// Names are shown to operator/privacy alone
    List {
        /// UUID; without it, of all households
        #[arg(long, default_value = "", hide_default_value = true)]
        household: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Move the end
    Extend {
        guest_id: String,
        /// RFC 3339, or a date for the end of that day in UTC
        #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
        ends_at: Timestamp,
        #[command(flatten)]
        etag: Etag,
    },
    /// End it now; the erasure follows by itself
    End { guest_id: String },
}

#[derive(Args)]
#[command(group = ArgGroup::new("what_opens")
    .args(["device", "group"])
    .required(true)
    .multiple(true))]
pub(crate) struct Add {
    /// UUID: whose guest, and whose payment counts
    #[arg(long)]
    household: String,
    /// - reads it from stdin, which keeps it out of the shell's history; without it, none
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// RFC 3339, or a date for the end of that day in UTC; at most a year ahead
    #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
    ends_at: Timestamp,
    /// - reads it from stdin; without it, a guest by face alone
    #[arg(long)]
    plate: Option<String>,
    /// ISO 3166 alpha-2
    #[arg(long, default_value = "RU")]
    country: String,
    /// What opens, as PARTNER/ID; may be repeated
    #[arg(long, value_name = "PARTNER/ID", value_parser = parse_device)]
    device: Vec<DeviceName>,
    /// What opens: UUID of a group of devices; may be repeated
    #[arg(long, value_name = "ID")]
    group: Vec<String>,
    /// In the device's time zone, e.g. 'mon-fri 08:00-20:00'; may be repeated; without it, at any
    /// time until the end
    #[arg(long, value_parser = window::parse)]
    window: Vec<WeeklyWindow>,
}

impl Add {
    fn request(self) -> Result<CreateGuestRequest, Failure> {
        let plate = match self.plate {
            Some(plate) => Some(PlateReading {
                number: std::mem::take(&mut *input::personal(plate, "plate")?),
                country: self.country,
            }),
            None => None,
        };
        let devices = self.device.into_iter().map(|device| GrantTarget {
            device: Some(device),
            ..GrantTarget::default()
        });
        let groups = self.group.into_iter().map(|group| GrantTarget {
            device_group_id: group,
            ..GrantTarget::default()
        });
        Ok(CreateGuestRequest {
            household_id: self.household,
            name: std::mem::take(&mut *input::personal(self.name, "name")?),
            ends_at: Some(moment::to_proto(self.ends_at)),
            plate,
            targets: devices.chain(groups).collect(),
            windows: self.window,
        })
    }
}

impl Guest {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut guests = GuestServiceClient::new(session.access()?);
        match self {
            Self::Add(add) => {
                let reply = guests.create_guest(add.request()?).await?.into_inner();
                session.output.one(reply.guest.as_ref())
            }
            Self::Get { guest_id } => {
                let request = GetGuestRequest { guest_id };
                let reply = guests.get_guest(request).await?.into_inner();
                session.output.one(reply.guest.as_ref())
            }
            Self::List { household, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let request = ListGuestsRequest {
                            page_size,
                            page_token,
                            household_id: household.clone(),
                        };
                        let reply = guests.list_guests(request).await?.into_inner();
                        Ok((reply.guests, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Extend {
                guest_id,
                ends_at,
                etag,
            } => {
                let request = ExtendGuestRequest {
                    guest_id,
                    ends_at: Some(moment::to_proto(ends_at)),
                    etag: etag.etag,
                };
                let reply = guests.extend_guest(request).await?.into_inner();
                session.output.one(reply.guest.as_ref())
            }
            Self::End { guest_id } => {
                let request = EndGuestRequest {
                    guest_id: guest_id.clone(),
                };
                guests.end_guest(request).await?;
                session.output.done(
                    json!({ "guest_id": guest_id }),
                    &format!("guest {guest_id} ended"),
                )
            }
        }
    }
}

impl Row for access::Guest {
    const MESSAGE: &'static str = "propdev.access.v1.Guest";
    const COLUMNS: &'static [&'static str] =
        &["GUEST", "NAME", "HOUSEHOLD", "ENDS", "PSEUDONYM", "ETAG"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.guest_id.clone(),
            or_dash(&self.name),
            self.household_id.clone(),
            moment::show(self.ends_at.as_ref()),
            or_dash(&self.audit_pseudonym),
            self.etag.clone(),
        ]
    }
}
