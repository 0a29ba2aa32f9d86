use clap::Subcommand;
use propdev_proto::access::{
    self, FollowEventsRequest, FollowEventsResponse, ListEventsRequest,
    event_service_client::EventServiceClient,
};

use crate::{
    connection::Session,
    error::Failure,
    follow::{Follow, Told},
    moment,
    output::{Row, or_dash, short, yes_no},
    pages::Limit,
};

#[derive(Subcommand)]
pub(crate) enum Event {
    /// Newest first; with --follow, each as it is stored
    List {
        /// UUID; without it, of all partners
        #[arg(long, default_value = "", hide_default_value = true)]
        partner: String,
        /// As the partner names it, with --follow; without it, of all devices and of none
        #[arg(
            long,
            requires = "follow",
            default_value = "",
            hide_default_value = true
        )]
        device: String,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        follow: Follow,
    },
}

impl Event {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::List {
            partner,
            device,
            limit,
            follow,
        } = self;
        let mut events = EventServiceClient::new(session.access()?);
        if follow.is_wanted() {
            let ask = async |cursor| {
                let request = FollowEventsRequest {
                    cursor,
                    partner_id: partner.clone(),
                    device_id: device.clone(),
                };
                events.follow_events(request).await
            };
            return follow.run(session, ask).await;
        }
        let listed = limit
            .gather(async |page_size, page_token| {
                let partner_id = partner.clone();
                let request = ListEventsRequest {
                    page_size,
                    page_token,
                    partner_id,
                };
                let reply = events.list_events(request).await?.into_inner();
                Ok((reply.events, reply.next_page_token))
            })
            .await?;
        session.output.list(&listed)
    }
}

impl Told for FollowEventsResponse {
    type Item = access::Event;

    fn into_parts(self) -> (Option<access::Event>, String) {
        (self.event, self.cursor)
    }
}

impl Row for access::Event {
    const MESSAGE: &'static str = "propdev.access.v1.Event";
    const COLUMNS: &'static [&'static str] = &[
        "OPENED",
        "RECEIVED",
        "EVENT",
        "KIND",
        "PARTNER",
        "DEVICE",
        "DEVICE KNOWN",
        "WHO",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            moment::show(self.opened_at.as_ref()),
            moment::show(self.received_at.as_ref()),
            self.event_uid.clone(),
            short(self.kind().as_str_name(), "CREDENTIAL_KIND_"),
            self.partner_id.clone(),
            or_dash(&self.device_id),
            yes_no(self.device_known),
            or_dash(&self.audit_pseudonym),
        ]
    }
}
