use propdev_proto::access::{
    AddCredentialRequest, AddCredentialResponse, AddVehicleRequest, AddVehicleResponse,
    CredentialKind as CredentialMessage, EndHoldingRequest, EndHoldingResponse, GetHoldingRequest,
    GetHoldingResponse, Holding as HoldingMessage, HoldingKind as KindMessage, ListHoldingsRequest,
    ListHoldingsResponse, UpdateHoldingRequest, UpdateHoldingResponse,
    holding_service_server::HoldingService,
};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{
        by, caller, external_ids, external_ids_message, fault, id, next_page, optional_id,
        optional_time, page, time, timestamp,
    },
    mask::Mask,
};
use crate::{
    app::{AddHolding, HoldingUpdate, ShownHolding},
    domain::{
        etag::IfMatch,
        event::{CredentialKind, HoldingKind},
        holding::SpanChange,
        plate::Plate,
    },
    error::Error,
    store::NewHolding,
};

#[tonic::async_trait]
impl HoldingService for Api {
    async fn add_vehicle(
        &self,
        request: Request<AddVehicleRequest>,
    ) -> Result<Response<AddVehicleResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let reading = request.plate.ok_or_else(|| fault("plate", "is required"))?;
        let number = Zeroizing::new(reading.number);
        let plate = Plate::parse(&number, &reading.country)
            .map_err(|error| Error::InvalidPlate(error.to_string()))?;
        let add = AddHolding {
            resident: id("resident_id", &request.resident_id)?,
            new: NewHolding::Vehicle(plate),
            held_from: optional_time("held_from", request.held_from)?,
            held_to: optional_time("held_to", request.held_to)?,
            external_ids: external_ids(request.external_ids)?,
        };
        let holding = self.app.add_holding(add, &caller).await?;
        Ok(Response::new(AddVehicleResponse {
            holding: Some(message(holding)),
        }))
    }

    async fn add_credential(
        &self,
        request: Request<AddCredentialRequest>,
    ) -> Result<Response<AddCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let kind = match request.kind() {
            CredentialMessage::Key => CredentialKind::Key,
            CredentialMessage::Fob => CredentialKind::Fob,
            CredentialMessage::Unspecified => return Err(fault("kind", "is required").into()),
        };
        let new = NewHolding::Credential {
            partner: id("partner_id", &request.partner_id)?,
            kind,
            id: Zeroizing::new(request.credential_id),
            site: id("site_id", &request.site_id)?,
        };
        let add = AddHolding {
            resident: id("resident_id", &request.resident_id)?,
            new,
            held_from: optional_time("held_from", request.held_from)?,
            held_to: optional_time("held_to", request.held_to)?,
            external_ids: external_ids(request.external_ids)?,
        };
        let holding = self.app.add_holding(add, &caller).await?;
        Ok(Response::new(AddCredentialResponse {
            holding: Some(message(holding)),
        }))
    }

    async fn get_holding(
        &self,
        request: Request<GetHoldingRequest>,
    ) -> Result<Response<GetHoldingResponse>, Status> {
        let request = request.into_inner();
        let by = by("holding_id", &request.holding_id, request.external_id)?;
        let holding = self.app.get_holding(by).await?;
        Ok(Response::new(GetHoldingResponse {
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
        let next_page_token = next_page(&mut holdings, page, |(holding, _)| holding.id);
        Ok(Response::new(ListHoldingsResponse {
            holdings: holdings.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_holding(
        &self,
        request: Request<UpdateHoldingRequest>,
    ) -> Result<Response<UpdateHoldingResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let holding = request
            .holding
            .ok_or_else(|| fault("holding", "is required"))?;
        let id = id("holding_id", &holding.holding_id)?;
        let updatable = [
            ("held_from", holding.held_from.is_some()),
            ("held_to", holding.held_to.is_some()),
            ("external_ids", !holding.external_ids.is_empty()),
        ];
        let mask = Mask::of(request.update_mask, &updatable)?;
        let span = SpanChange {
            from: mask
                .has("held_from")
                .then(|| time("held_from", holding.held_from))
                .transpose()?,
            to: mask.take("held_to", optional_time("held_to", holding.held_to)?),
        };
        let update = HoldingUpdate {
            span,
            external_ids: mask.take("external_ids", external_ids(holding.external_ids)?),
        };
        let if_match = IfMatch::of(holding.etag);
        let holding = self
            .app
            .update_holding(id, update, if_match, &caller)
            .await?;
        Ok(Response::new(UpdateHoldingResponse {
            holding: Some(message(holding)),
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

fn message((holding, external_ids): ShownHolding) -> HoldingMessage {
    HoldingMessage {
        holding_id: holding.id.to_string(),
        resident_id: holding.resident.to_string(),
        kind: match holding.kind {
            HoldingKind::Vehicle => KindMessage::Vehicle,
            HoldingKind::Key => KindMessage::Key,
            HoldingKind::Fob => KindMessage::Fob,
        }
        .into(),
        held_from: timestamp(holding.held.from),
        held_to: holding.held.to.and_then(timestamp),
        external_ids: external_ids_message(external_ids),
        etag: holding.version.etag(),
    }
}
