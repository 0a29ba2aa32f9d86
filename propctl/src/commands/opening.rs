use clap::Subcommand;
use propdev_proto::access::{
    self, FollowOpeningsRequest, FollowOpeningsResponse, ListOpeningsRequest,
    opening_service_client::OpeningServiceClient,
};

use super::device::show_kind;
use crate::{
    connection::Session,
    error::Failure,
    follow::{Follow, Told},
    moment,
    output::{Row, or_dash, short},
    pages::Limit,
};

#[derive(Subcommand)]
pub(crate) enum Opening {
    /// Newest first; with --follow, each as it is decided and whenever it changes
    List {
        /// UUID; without it, of all partners
        #[arg(long, default_value = "", hide_default_value = true)]
        partner: String,
        /// The partner's own id; without it, of all devices
        #[arg(long, default_value = "", hide_default_value = true)]
        device: String,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        follow: Follow,
    },
}

impl Opening {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::List {
            partner,
            device,
            limit,
            follow,
        } = self;
        let mut openings = OpeningServiceClient::new(session.access()?);
        if follow.is_wanted() {
            let ask = async |cursor| {
                let request = FollowOpeningsRequest {
                    cursor,
                    partner_id: partner.clone(),
                    device_id: device.clone(),
                };
                openings.follow_openings(request).await
            };
            return follow.run(session, ask).await;
        }
        let listed = limit
            .gather(async |page_size, page_token| {
                let request = ListOpeningsRequest {
                    page_size,
                    page_token,
                    partner_id: partner.clone(),
                    device_id: device.clone(),
                };
                let reply = openings.list_openings(request).await?.into_inner();
                Ok((reply.openings, reply.next_page_token))
            })
            .await?;
        session.output.list(&listed)
    }
}

impl Told for FollowOpeningsResponse {
    type Item = access::Opening;

    fn into_parts(self) -> (Option<access::Opening>, String) {
        (self.opening, self.cursor)
    }
}

impl Row for access::Opening {
    const MESSAGE: &'static str = "propdev.access.v1.Opening";
    const COLUMNS: &'static [&'static str] = &[
        "DECIDED", "OPENING", "KIND", "DEVICE", "BY", "WHO", "DECISION", "COMMAND",
    ];

    fn cells(&self) -> Vec<String> {
        let decision = short(self.decision().as_str_name(), "DECISION_");
        let command = self
            .command
            .as_ref()
            .map(|command| short(command.status().as_str_name(), "COMMAND_STATUS_"));
        // Of what refused it, or of what let it pass all the same.
        let denied = !self.denial_code.is_empty();
        let cause = self
            .checks
            .iter()
            .filter(|check| check.passed != denied)
            .map(|check| check.cause.as_str())
            .find(|cause| !cause.is_empty());
        vec![
            moment::show(self.decided_at.as_ref()),
            self.opening_id.clone(),
            show_kind(self.device_kind()),
            self.device_id.clone(),
            or_dash(&self.means),
            or_dash(&self.audit_pseudonym),
            match (self.denial_code.as_str(), cause) {
                ("", None) => decision,
                ("", Some(cause)) => format!("{decision} ({cause})"),
                (code, None) => format!("{decision}: {code}"),
                (code, Some(cause)) => format!("{decision}: {code} ({cause})"),
            },
            or_dash(&command.unwrap_or_default()),
        ]
    }
}
