use propdev_proto::access::{
    Erasure as ErasureMessage, ErasureCounts, ErasureReason, ErasureReceipt, ErasureStep,
    GetErasureRequest, GetErasureResponse, ListErasuresRequest, ListErasuresResponse,
    erasure_service_server::ErasureService, get_erasure_request,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::{fault, id, next_page, page, timestamp},
};
use crate::{
    app::Receipted,
    domain::erasure::{Reason, Step},
    store::Whom,
};

#[tonic::async_trait]
impl ErasureService for Api {
    async fn get_erasure(
        &self,
        request: Request<GetErasureRequest>,
    ) -> Result<Response<GetErasureResponse>, Status> {
        let whom = match request.into_inner().whom {
            Some(get_erasure_request::Whom::Pseudonym(pseudonym)) => {
                Whom::Pseudonym(id("pseudonym", &pseudonym)?)
            }
            Some(get_erasure_request::Whom::ResidentId(resident)) => {
                Whom::Resident(id("resident_id", &resident)?)
            }
            None => return Err(fault("whom", "is required").into()),
        };
        let receipted = self.app.receipted(whom).await?;
        Ok(Response::new(GetErasureResponse {
            erasure: Some(message(receipted)),
        }))
    }

    async fn list_erasures(
        &self,
        request: Request<ListErasuresRequest>,
    ) -> Result<Response<ListErasuresResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let mut erasures = self
            .app
            .list_erasures(request.only_unfinished, page)
            .await?;
        let next_page_token = next_page(&mut erasures, page, |one| one.erasure.resident);
        Ok(Response::new(ListErasuresResponse {
            erasures: erasures.into_iter().map(message).collect(),
            next_page_token,
        }))
    }
}

pub(super) fn reason(message: ErasureReason) -> Reason {
    match message {
        ErasureReason::Unspecified => Reason::Unspecified,
        ErasureReason::Requested => Reason::Requested,
        ErasureReason::ConsentWithdrawn => Reason::ConsentWithdrawn,
        ErasureReason::MovedOut => Reason::MovedOut,
        ErasureReason::RetentionEnded => Reason::RetentionEnded,
    }
}

fn reason_message(reason: Reason) -> ErasureReason {
    match reason {
        Reason::Unspecified => ErasureReason::Unspecified,
        Reason::Requested => ErasureReason::Requested,
        Reason::ConsentWithdrawn => ErasureReason::ConsentWithdrawn,
        Reason::MovedOut => ErasureReason::MovedOut,
        Reason::RetentionEnded => ErasureReason::RetentionEnded,
    }
}

fn step_message(step: Step) -> ErasureStep {
    match step {
        Step::Rights => ErasureStep::RightsEnded,
        Step::Biometrics => ErasureStep::BiometricsErased,
        Step::Key => ErasureStep::KeyDestroyed,
        Step::Tokens => ErasureStep::TokensVoided,
        Step::Vehicles => ErasureStep::VehiclesErased,
        Step::Credentials => ErasureStep::CredentialsErased,
        Step::Columns => ErasureStep::ColumnsErased,
        Step::Ledger => ErasureStep::InLedger,
        Step::Receipt => ErasureStep::ReceiptGiven,
        Step::Final => ErasureStep::Final,
    }
}

pub(super) fn message(receipted: Receipted) -> ErasureMessage {
    let Receipted { erasure, receipts } = receipted;
    let final_at = erasure.final_everywhere();
    let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
    // A replayed one bears the time of its first end before it has come there.
    let erased_at = erasure.erased_at.filter(|_| erasure.step >= Step::Columns);
    ErasureMessage {
        pseudonym: erasure.pseudonym.to_string(),
        resident_id: erasure.resident.to_string(),
        step: step_message(erasure.step).into(),
        reason: reason_message(erasure.order.reason).into(),
        requested_by: erasure.order.requested_by,
        replayed: erasure.replayed,
        begun_at: timestamp(erasure.begun_at),
        erased_at: erased_at.and_then(timestamp),
        final_at: final_at.and_then(timestamp),
        counts: erased_at.map(|_| ErasureCounts {
            templates: erasure.counts.templates,
            vehicles: count(erasure.counts.vehicles),
            credentials: count(erasure.counts.credentials),
            grants: count(erasure.counts.grants),
        }),
        receipts: receipts
            .into_iter()
            .map(|receipt| ErasureReceipt {
                service: receipt.service,
                jws: receipt.jws,
            })
            .collect(),
    }
}
