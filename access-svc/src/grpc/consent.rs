use propdev_proto::access::{
    Consent as ConsentMessage, ListConsentsRequest, ListConsentsResponse, RecordConsentRequest,
    RecordConsentResponse, WithdrawConsentRequest, WithdrawConsentResponse,
    consent_service_server::ConsentService,
};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{id, next_page, optional_id, page, sees_persons, time, timestamp},
};
use crate::store::Consent;

#[tonic::async_trait]
impl ConsentService for Api {
    async fn record_consent(
        &self,
        request: Request<RecordConsentRequest>,
    ) -> Result<Response<RecordConsentResponse>, Status> {
        let with_reference = sees_persons(&request);
        let request = request.into_inner();
        let consent = self
            .app
            .record_consent(
                id("resident_id", &request.resident_id)?,
                Zeroizing::new(request.reference),
                time("consented_at", request.consented_at)?,
                with_reference,
            )
            .await?;
        Ok(Response::new(RecordConsentResponse {
            consent: Some(message(consent)),
        }))
    }

    async fn list_consents(
        &self,
        request: Request<ListConsentsRequest>,
    ) -> Result<Response<ListConsentsResponse>, Status> {
        let with_references = sees_persons(&request);
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let resident = optional_id("resident_id", &request.resident_id)?;
        let mut consents = self
            .app
            .list_consents(resident, page, with_references)
            .await?;
        let next_page_token = next_page(&mut consents, page, |consent| consent.id);
        Ok(Response::new(ListConsentsResponse {
            consents: consents.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn withdraw_consent(
        &self,
        request: Request<WithdrawConsentRequest>,
    ) -> Result<Response<WithdrawConsentResponse>, Status> {
        let with_references = sees_persons(&request);
        let id = id("resident_id", &request.into_inner().resident_id)?;
        let withdrawn = self.app.withdraw_consents(id, with_references).await?;
        Ok(Response::new(WithdrawConsentResponse {
            consents: withdrawn.into_iter().map(message).collect(),
        }))
    }
}

fn message(consent: Consent) -> ConsentMessage {
    let withdrawal = consent.withdrawal;
    ConsentMessage {
        consent_id: consent.id.to_string(),
        resident_id: consent.resident.to_string(),
        reference: consent
            .reference
            .map_or_else(String::new, |reference| reference.to_string()),
        consented_at: timestamp(consent.consented_at),
        withdrawn_at: withdrawal
            .as_ref()
            .and_then(|withdrawal| timestamp(withdrawal.withdrawn_at)),
        erased_at: withdrawal
            .as_ref()
            .and_then(|withdrawal| withdrawal.erased_at.and_then(timestamp)),
        receipts: withdrawal.map_or_else(Vec::new, |withdrawal| withdrawal.receipts),
    }
}
