use clap::Subcommand;
use propdev_proto::access::{
    self, EndHoldingRequest, ListHoldingsRequest, holding_service_client::HoldingServiceClient,
};

use crate::{
    connection::Session,
    error::Failure,
    moment,
    output::{Row, short},
    pages::Limit,
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
    /// The resident is without it from now on
    End { holding_id: String },
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
    const COLUMNS: &'static [&'static str] = &["HOLDING", "KIND", "RESIDENT", "FROM", "TO"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.holding_id.clone(),
            short(self.kind().as_str_name(), "HOLDING_KIND_"),
            self.resident_id.clone(),
            moment::show(self.held_from.as_ref()),
            moment::show(self.held_to.as_ref()),
        ]
    }
}
