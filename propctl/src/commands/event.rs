use clap::Subcommand;
use propdev_proto::access::{self, ListEventsRequest, event_service_client::EventServiceClient};

use crate::{
    connection::Session,
    error::Failure,
    moment,
    output::{Row, or_dash, short, yes_no},
    pages::Limit,
};

#[derive(Subcommand)]
pub(crate) enum Event {
    /// Newest first
    List {
        /// UUID; without it, of all partners
        #[arg(long, default_value = "", hide_default_value = true)]
        partner: String,
        #[command(flatten)]
        limit: Limit,
    },
}

impl Event {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::List { partner, limit } = self;
        let mut events = EventServiceClient::new(session.access()?);
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
