use clap::Subcommand;
use propdev_proto::access::{
    self, ListAuthEventsRequest, audit_service_client::AuditServiceClient,
};

use crate::{
    connection::Session,
    error::Failure,
    moment,
    output::{Row, or_dash, short},
    pages::Limit,
};

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Tokens issued, refused and revoked, clients, keys and states of sites and
    /// devices changed; newest first
    Tokens {
        /// OAuth client; without it, of all clients
        #[arg(long, default_value = "", hide_default_value = true)]
        client: String,
        #[command(flatten)]
        limit: Limit,
    },
}

impl Audit {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::Tokens { client, limit } = self;
        let mut audit = AuditServiceClient::new(session.access()?);
        let listed = limit
            .gather(async |page_size, page_token| {
                let request = ListAuthEventsRequest {
                    page_size,
                    page_token,
                    client_id: client.clone(),
                };
                let reply = audit.list_auth_events(request).await?.into_inner();
                Ok((reply.events, reply.next_page_token))
            })
            .await?;
        session.output.list(&listed)
    }
}

impl Row for access::AuthEvent {
    const MESSAGE: &'static str = "propdev.access.v1.AuthEvent";
    const COLUMNS: &'static [&'static str] = &[
        "AT", "WHAT", "CODE", "CAUSE", "COUNT", "CLIENT", "BY", "WHO", "SITE", "DEVICE", "ACTOR",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            moment::show(self.at.as_ref()),
            short(self.kind().as_str_name(), "AUTH_EVENT_KIND_"),
            or_dash(&self.code),
            or_dash(&self.cause),
            self.count.to_string(),
            or_dash(&self.client_id),
            or_dash(&self.means),
            or_dash(&self.audit_pseudonym),
            or_dash(&self.site_id),
            or_dash(&self.device_id),
            or_dash(&self.actor),
        ]
    }
}
