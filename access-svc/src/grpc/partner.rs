use propdev_proto::access::{
    CreatePartnerRequest, CreatePartnerResponse, GetEgressSettingsRequest,
    GetEgressSettingsResponse, ListPartnersRequest, ListPartnersResponse,
    Partner as PartnerMessage, PartnerClientCredentials, ProbePartnerRequest, ProbePartnerResponse,
    UpdatePartnerRequest, UpdatePartnerResponse, partner_service_server::PartnerService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{fault, id, next_page, page},
    mask::Mask,
};
use crate::domain::partner::{Credentials, Partner, PartnerChange};

#[tonic::async_trait]
impl PartnerService for Api {
    async fn create_partner(
        &self,
        request: Request<CreatePartnerRequest>,
    ) -> Result<Response<CreatePartnerResponse>, Status> {
        let request = request.into_inner();
        let new = request
            .partner
            .ok_or_else(|| fault("partner", "is required"))?;
        let partner = Partner {
            id: Uuid::now_v7(),
            name: new.name,
            token_url: new.token_url,
            api_base: new.api_base,
            door_path: new.door_path,
            barrier_path: new.barrier_path,
            minimal: new.minimal,
            ca_pem: new.ca_pem,
            settings_version: 1,
        };
        let partner = self
            .app
            .create_partner(
                partner,
                credentials(request.intercom),
                credentials(request.barrier),
            )
            .await?;
        Ok(Response::new(CreatePartnerResponse {
            partner: Some(message(partner)),
        }))
    }

    async fn list_partners(
        &self,
        request: Request<ListPartnersRequest>,
    ) -> Result<Response<ListPartnersResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let mut partners = self.app.list_partners(page).await?;
        let next_page_token = next_page(&mut partners, page, |partner| partner.id);
        Ok(Response::new(ListPartnersResponse {
            partners: partners.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn update_partner(
        &self,
        request: Request<UpdatePartnerRequest>,
    ) -> Result<Response<UpdatePartnerResponse>, Status> {
        let request = request.into_inner();
        let new = request
            .partner
            .ok_or_else(|| fault("partner", "is required"))?;
        let mask = Mask::of(
            request.update_mask,
            &[
                ("name", !new.name.is_empty()),
                ("token_url", !new.token_url.is_empty()),
                ("api_base", !new.api_base.is_empty()),
                ("door_path", !new.door_path.is_empty()),
                ("barrier_path", !new.barrier_path.is_empty()),
                ("minimal", new.minimal),
                ("ca_pem", !new.ca_pem.is_empty()),
                ("intercom", request.intercom.is_some()),
                ("barrier", request.barrier.is_some()),
            ],
        )?;
        let change = PartnerChange {
            name: mask.take("name", new.name),
            token_url: mask.take("token_url", new.token_url),
            api_base: mask.take("api_base", new.api_base),
            door_path: mask.take("door_path", new.door_path),
            barrier_path: mask.take("barrier_path", new.barrier_path),
            minimal: mask.take("minimal", new.minimal),
            ca_pem: mask.take("ca_pem", new.ca_pem),
            intercom: mask.take("intercom", credentials(request.intercom)),
            barrier: mask.take("barrier", credentials(request.barrier)),
        };
        let id = id("partner_id", &new.partner_id)?;
        let partner = self
            .app
            .update_partner(id, new.settings_version, change)
            .await?;
        Ok(Response::new(UpdatePartnerResponse {
            partner: Some(message(partner)),
        }))
    }

    async fn probe_partner(
        &self,
        request: Request<ProbePartnerRequest>,
    ) -> Result<Response<ProbePartnerResponse>, Status> {
        let partner = id("partner_id", &request.into_inner().partner_id)?;
        let (intercom_fault, barrier_fault) = self.app.probe_partner(partner).await?;
        Ok(Response::new(ProbePartnerResponse {
            intercom_fault,
            barrier_fault,
        }))
    }

    async fn get_egress_settings(
        &self,
        request: Request<GetEgressSettingsRequest>,
    ) -> Result<Response<GetEgressSettingsResponse>, Status> {
        let partner = id("partner_id", &request.into_inner().partner_id)?;
        let (partner, intercom, barrier) = self.app.egress_settings(partner).await?;
        Ok(Response::new(GetEgressSettingsResponse {
            partner: Some(message(partner)),
            intercom: Some(credentials_message(&intercom)),
            barrier: Some(credentials_message(&barrier)),
        }))
    }
}

fn credentials(message: Option<PartnerClientCredentials>) -> Credentials {
    let message = message.unwrap_or_default();
    Credentials {
        client_id: message.client_id,
        client_secret: Zeroizing::new(message.client_secret),
    }
}

fn credentials_message(credentials: &Credentials) -> PartnerClientCredentials {
    PartnerClientCredentials {
        client_id: credentials.client_id.clone(),
        client_secret: credentials.client_secret.to_string(),
    }
}

fn message(partner: Partner) -> PartnerMessage {
    PartnerMessage {
        partner_id: partner.id.to_string(),
        name: partner.name,
        token_url: partner.token_url,
        api_base: partner.api_base,
        door_path: partner.door_path,
        barrier_path: partner.barrier_path,
        minimal: partner.minimal,
        ca_pem: partner.ca_pem,
        settings_version: partner.settings_version,
    }
}
