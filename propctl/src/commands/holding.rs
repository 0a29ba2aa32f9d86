use clap::{Args, Subcommand};
use jiff::Timestamp;
use propdev_proto::access::{
    self, EndHoldingRequest, GetHoldingRequest, ListHoldingsRequest, UpdateHoldingRequest,
    holding_service_client::HoldingServiceClient,
};

use crate::{
    connection::Session,
    error::Failure,
    moment,
    output::{Row, short},
    pages::Limit,
    reference::{ChangedExternalIds, Changes, Etag, Named, parse_named},
};

#[derive(Subcommand)]
pub(crate) enum Holding {
    List {
        /// UUID; without it, of all residents
        #[arg(long, default_value = "", hide_default_value = true)]
        resident: String,
        #[command(flatten)]
        limit: Limit,
    },
    Get {
        /// UUID, or another system's id as SYSTEM=ID
        #[arg(value_parser = parse_named)]
        holding: Named,
    },
    /// Correct the span, for events that are yet to come
    Update(Update),
    /// The resident is without it from now on
    End { holding_id: String },
}

#[derive(Args)]
pub(crate) struct Update {
    holding_id: String,
    /// RFC 3339, or a date for the beginning of that day in UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse_begin)]
    held_from: Option<Timestamp>,
    /// RFC 3339, or a date for the end of that day in UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
    held_to: Option<Timestamp>,
    /// Take the end away
    #[arg(long, conflicts_with = "held_to")]
    no_end: bool,
    #[command(flatten)]
    external_ids: ChangedExternalIds,
    #[command(flatten)]
    etag: Etag,
}

impl Update {
    fn request(self) -> Result<UpdateHoldingRequest, Failure> {
        let mut changes = Changes::default();
        let held_from = self.held_from.map(moment::to_proto);
        let held_to = self.held_to.map(moment::to_proto);
        let ends = held_to.is_some() || self.no_end;
        let holding = access::Holding {
            holding_id: self.holding_id,
            held_from: changes.take("held_from", held_from.map(Some)),
            held_to: changes.take("held_to", ends.then_some(held_to)),
            external_ids: changes.take("external_ids", self.external_ids.changed()),
            etag: self.etag.etag,
            ..access::Holding::default()
        };
        Ok(UpdateHoldingRequest {
            holding: Some(holding),
            update_mask: changes.mask()?,
        })
    }
}

impl Holding {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut holdings = HoldingServiceClient::new(session.access()?);
        match self {
            Self::List { resident, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let resident_id = resident.clone();
                        let request = ListHoldingsRequest {
                            page_size,
                            page_token,
                            resident_id,
                        };
                        let reply = holdings.list_holdings(request).await?.into_inner();
                        Ok((reply.holdings, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
            Self::Get { holding } => {
                let request = GetHoldingRequest {
                    holding_id: holding.id,
                    external_id: holding.external_id,
                };
                let reply = holdings.get_holding(request).await?.into_inner();
                session.output.one(reply.holding.as_ref())
            }
            Self::Update(update) => {
                let request = update.request()?;
                let reply = holdings.update_holding(request).await?.into_inner();
                session.output.one(reply.holding.as_ref())
            }
            Self::End { holding_id } => {
                let request = EndHoldingRequest { holding_id };
                let reply = holdings.end_holding(request).await?.into_inner();
                session.output.one(reply.holding.as_ref())
            }
        }
    }
}

impl Row for access::Holding {
    const MESSAGE: &'static str = "propdev.access.v1.Holding";
    const COLUMNS: &'static [&'static str] = &["HOLDING", "KIND", "RESIDENT", "FROM", "TO", "ETAG"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.holding_id.clone(),
            short(self.kind().as_str_name(), "HOLDING_KIND_"),
            self.resident_id.clone(),
            moment::show(self.held_from.as_ref()),
            moment::show(self.held_to.as_ref()),
            self.etag.clone(),
        ]
    }
}
