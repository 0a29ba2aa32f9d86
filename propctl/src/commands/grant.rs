use clap::{Args, Subcommand};
use jiff::Timestamp;
use propdev_proto::access::{
    self, CreateGrantRequest, ListGrantsRequest, RevokeGrantRequest, WeeklyWindow,
    grant_service_client::GrantServiceClient,
};
use serde_json::json;

use crate::{connection::Session, error::Failure, moment, output::Row, pages::Limit, window};

#[derive(Subcommand)]
pub(crate) enum Grant {
    /// Let a resident open a device
    Add(Add),
    List {
        /// UUID; without it, of all residents
        #[arg(long, default_value = "", hide_default_value = true)]
        resident: String,
        #[command(flatten)]
        limit: Limit,
    },
    Revoke {
        grant_id: String,
    },
}

#[derive(Args)]
pub(crate) struct Add {
    /// UUID
    #[arg(long)]
    resident: String,
    /// UUID
    #[arg(long)]
    partner: String,
    /// The partner's own id of the device
    #[arg(long)]
    device: String,
    /// In the device's time zone, e.g. 'mon-fri 08:00-20:00' or 'daily 22:00-06:00'; may be
    /// repeated; without it, at any time
    #[arg(long, value_parser = window::parse)]
    window: Vec<WeeklyWindow>,
    /// RFC 3339, or a date for the end of that day in UTC; without it, no end
    #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
    ends_at: Option<Timestamp>,
}

impl Grant {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut grants = GrantServiceClient::new(session.access()?);
        match self {
            Self::Add(add) => {
                let grant = access::Grant {
                    grant_id: String::new(),
                    resident_id: add.resident,
                    partner_id: add.partner,
                    device_id: add.device,
                    windows: add.window,
                    ends_at: add.ends_at.map(moment::to_proto),
                };
                let request = CreateGrantRequest { grant: Some(grant) };
                let reply = grants.create_grant(request).await?.into_inner();
                session.output.one(reply.grant.as_ref())
            }
            Self::List { resident, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let resident_id = resident.clone();
                        let request = ListGrantsRequest {
                            page_size,
                            page_token,
                            resident_id,
                        };
                        let reply = grants.list_grants(request).await?.into_inner();
                        Ok((reply.grants, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Revoke { grant_id } => {
                let request = RevokeGrantRequest {
                    grant_id: grant_id.clone(),
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
    const COLUMNS: &'static [&'static str] =
        &["GRANT", "RESIDENT", "PARTNER", "DEVICE", "WINDOWS", "ENDS"];

    fn cells(&self) -> Vec<String> {
        let windows: Vec<String> = self.windows.iter().map(window::show).collect();
        vec![
            self.grant_id.clone(),
            self.resident_id.clone(),
            self.partner_id.clone(),
            self.device_id.clone(),
            if windows.is_empty() {
                "any time".into()
            } else {
                windows.join("; ")
            },
            moment::show(self.ends_at.as_ref()),
        ]
    }
}
