//! `key` and `fob`: the same verbs over the two kinds of credential.

use clap::Subcommand;
use jiff::Timestamp;
use propdev_proto::access::{
    AddCredentialRequest, CredentialKind, holding_service_client::HoldingServiceClient,
};

use crate::{connection::Session, error::Failure, input, moment, reference::ExternalIds};

#[derive(Subcommand)]
pub(crate) enum Credential {
    /// Note who holds it
    Add {
        /// UUID
        #[arg(long)]
        resident: String,
        /// UUID
        #[arg(long)]
        partner: String,
        /// Site (UUID) where it is used
        #[arg(long)]
        site: String,
        /// The partner's own id; - reads it from stdin
        #[arg(long)]
        id: String,
        /// RFC 3339, or a date for the beginning of that day in UTC; without it, now
        #[arg(long, value_name = "TIME", value_parser = moment::parse_begin)]
        held_from: Option<Timestamp>,
        /// RFC 3339, or a date for the end of that day in UTC; without it, no end
        #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
        held_to: Option<Timestamp>,
        #[command(flatten)]
        external_ids: ExternalIds,
    },
}

impl Credential {
    pub(crate) async fn run(self, kind: CredentialKind, session: &Session) -> Result<(), Failure> {
        let Self::Add {
            resident,
            partner,
            site,
            id,
            held_from,
            held_to,
            external_ids,
        } = self;
        let mut holdings = HoldingServiceClient::new(session.access()?);
        let request = AddCredentialRequest {
            resident_id: resident,
            partner_id: partner,
            kind: kind.into(),
            credential_id: std::mem::take(&mut *input::personal(id, "id")?),
            site_id: site,
            held_from: held_from.map(moment::to_proto),
            held_to: held_to.map(moment::to_proto),
            external_ids: external_ids.into_map(),
        };
        let reply = holdings.add_credential(request).await?.into_inner();
        session.output.one(reply.holding.as_ref())
    }
}
