use propdev_proto::access::{
    AddCredentialRequest, AddCredentialResponse, AddVehicleRequest, AddVehicleResponse,
    CredentialKind as CredentialMessage, EndHoldingRequest, EndHoldingResponse,
    Holding as HoldingMessage, HoldingKind as KindMessage, ListHoldingsRequest,
    ListHoldingsResponse, holding_service_server::HoldingService,
};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{fault, id, next_page, optional_id, optional_time, page, timestamp},
};
use crate::{
    domain::{
        event::{CredentialKind, HoldingKind},
        plate::Plate,
    },
    error::Error,
    store::{Holding, NewHolding},
};

#[tonic::async_trait]
impl HoldingService for Api {
    async fn add_vehicle(
        &self,
        request: Request<AddVehicleRequest>,
    ) -> Result<Response<AddVehicleResponse>, Status> {
        let request = request.into_inner();
        let reading = request.plate.ok_or_else(|| fault("plate", "is required"))?;
        let number = Zeroizing::new(reading.number);
        let plate = Plate::parse(&number, &reading.country)
            .map_err(|error| Error::InvalidPlate(error.to_string()))?;
        let resident = id("resident_id", &request.resident_id)?;
        let holding = self
            .app
            .add_holding(resident, NewHolding::Vehicle(plate), None)
            .await?;
        Ok(Response::new(AddVehicleResponse {
            holding: Some(message(holding)),
        }))
    }

    async fn add_credential(
        &self,
        request: Request<AddCredentialRequest>,
    ) -> Result<Response<AddCredentialResponse>, Status> {
        let request = request.into_inner();
        let kind = match request.kind() {
            CredentialMessage::Key => CredentialKind::Key,
            CredentialMessage::Fob => CredentialKind::Fob,
            CredentialMessage::Unspecified => return Err(fault("kind", "is required").into()),
        };
        let resident = id("resident_id", &request.resident_id)?;
        let new = NewHolding::Credential {
            partner: id("partner_id", &request.partner_id)?,
            kind,
            id: Zeroizing::new(request.credential_id),
            site: id("site_id", &request.site_id)?,
        };
        let held_from = optional_time("held_from", request.held_from)?;
        let holding = self.app.add_holding(resident, new, held_from).await?;
        Ok(Response::new(AddCredentialResponse {
            holding: Some(message(holding)),
        }))
    }

    async fn list_holdings(
        &self,
        request: Request<ListHoldingsRequest>,
    ) -> Result<Response<ListHoldingsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let resident = optional_id("resident_id", &request.resident_id)?;
        let mut holdings = self.app.list_holdings(resident, page).await?;
        let next_page_token = next_page(&mut holdings, page, |holding| holding.id);
        Ok(Response::new(ListHoldingsResponse {
            holdings: holdings.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn end_holding(
        &self,
        request: Request<EndHoldingRequest>,
    ) -> Result<Response<EndHoldingResponse>, Status> {
        let id = id("holding_id", &request.into_inner().holding_id)?;
        let holding = self.app.end_holding(id).await?;
        Ok(Response::new(EndHoldingResponse {
            holding: Some(message(holding)),
        }))
    }
}

fn message(holding: Holding) -> HoldingMessage {
    HoldingMessage {
        holding_id: holding.id.to_string(),
        resident_id: holding.resident.to_string(),
        kind: match holding.kind {
            HoldingKind::Vehicle => KindMessage::Vehicle,
            HoldingKind::Key => KindMessage::Key,
            HoldingKind::Fob => KindMessage::Fob,
        }
        .into(),
        held_from: timestamp(holding.held_from),
        held_to: holding.held_to.and_then(timestamp),
    }
}
