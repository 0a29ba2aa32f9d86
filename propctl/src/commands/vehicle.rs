use clap::Subcommand;
use jiff::Timestamp;
use propdev_proto::{
    access::{AddVehicleRequest, holding_service_client::HoldingServiceClient},
    auth::PlateReading,
};

use crate::{connection::Session, error::Failure, input, moment, reference::ExternalIds};

#[derive(Subcommand)]
pub(crate) enum Vehicle {
    Add {
        /// UUID
        #[arg(long)]
        resident: String,
        /// - reads it from stdin, which keeps it out of the shell's history
        #[arg(long)]
        plate: String,
        /// ISO 3166 alpha-2
        #[arg(long, default_value = "RU")]
        country: String,
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

impl Vehicle {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::Add {
            resident,
            plate,
            country,
            held_from,
            held_to,
            external_ids,
        } = self;
        let mut holdings = HoldingServiceClient::new(session.access()?);
        let request = AddVehicleRequest {
            resident_id: resident,
            plate: Some(PlateReading {
                number: std::mem::take(&mut *input::personal(plate, "plate")?),
                country,
            }),
            held_from: held_from.map(moment::to_proto),
            held_to: held_to.map(moment::to_proto),
            external_ids: external_ids.into_map(),
        };
        let reply = holdings.add_vehicle(request).await?.into_inner();
        session.output.one(reply.holding.as_ref())
    }
}
