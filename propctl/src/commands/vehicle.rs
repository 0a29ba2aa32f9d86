use clap::Subcommand;
use propdev_proto::{
    access::{AddVehicleRequest, holding_service_client::HoldingServiceClient},
    auth::PlateReading,
};

use crate::{connection::Session, error::Failure, input};

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
    },
}

impl Vehicle {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::Add {
            resident,
            plate,
            country,
        } = self;
        let mut holdings = HoldingServiceClient::new(session.access()?);
        let request = AddVehicleRequest {
            resident_id: resident,
            plate: Some(PlateReading {
                number: std::mem::take(&mut *input::personal(plate, "plate")?),
                country,
            }),
        };
        let reply = holdings.add_vehicle(request).await?.into_inner();
        session.output.one(reply.holding.as_ref())
    }
}
