use face_index::Rotation;
use futures::future::join_all;
use mesh::{
    clock::{from_micros, from_proto, to_micros},
    error::refusal,
};
use propdev_proto::biometric::{
    Act, EnrolTemplateRequest, EnrolTemplateResponse, EraseSubjectRequest, EraseSubjectResponse,
    FaceVector, ForgetModelRequest, ForgetModelResponse, GetErasureReceiptsRequest,
    GetErasureReceiptsResponse, GetStatusRequest, GetStatusResponse, IdentifyBatchRequest,
    IdentifyBatchResponse, IdentifyRequest, IdentifyResponse, IdentifyResult, ListActsRequest,
    ListActsResponse, ListModelsRequest, ListModelsResponse, Model, ModelCount,
    RenewRotationRequest, RenewRotationResponse, SetGalleriesRequest, SetGalleriesResponse,
    biometric_service_server::BiometricService, identify_response, identify_result,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    app::{App, Enrolment},
    domain::identification::Outcome,
    error::Error,
    store::{Order, StoredAct},
};

/// More galleries than one client's sites are asked for by mistake.
const MAX_GALLERIES: usize = 1_000;
/// Requests in one call.
const MAX_BATCH: usize = 64;

pub(crate) struct BiometricApi {
    app: App,
}

impl BiometricApi {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }

    async fn identify_one(&self, request: IdentifyRequest) -> Result<IdentifyResponse, Error> {
        let face = required(request.face)?;
        let galleries = galleries(&request.gallery_ids, 1)?;
        let identified = self
            .app
            .identify(&face.model, &face.values, galleries)
            .await?;
        let (outcome, subject_id) = match identified.outcome {
            Outcome::Match(subject) => (identify_response::Outcome::Match, subject.to_string()),
            Outcome::Nobody => (identify_response::Outcome::Nobody, String::new()),
            Outcome::Ambiguous => (identify_response::Outcome::Ambiguous, String::new()),
        };
        Ok(IdentifyResponse {
            outcome: outcome.into(),
            subject_id,
            probe_mac: identified.probe_mac.to_vec(),
        })
    }
}

#[tonic::async_trait]
impl BiometricService for BiometricApi {
    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        Ok(Response::new(
            self.identify_one(request.into_inner()).await?,
        ))
    }

    async fn identify_batch(
        &self,
        request: Request<IdentifyBatchRequest>,
    ) -> Result<Response<IdentifyBatchResponse>, Status> {
        let requests = request.into_inner().requests;
        if !(1..=MAX_BATCH).contains(&requests.len()) {
            return Err(invalid("requests", "must be 1 to 64").into());
        }
        let results = join_all(requests.into_iter().map(|request| async {
            let result = match self.identify_one(request).await {
                Ok(identified) => identify_result::Result::Identified(identified),
                Err(error) => identify_result::Result::Refusal(refusal(&error.into())),
            };
            IdentifyResult {
                result: Some(result),
            }
        }))
        .await;
        Ok(Response::new(IdentifyBatchResponse { results }))
    }

    async fn enrol_template(
        &self,
        request: Request<EnrolTemplateRequest>,
    ) -> Result<Response<EnrolTemplateResponse>, Status> {
        let request = request.into_inner();
        let face = required(request.face)?;
        if !(1..=200).contains(&request.consent_reference.chars().count()) {
            return Err(invalid("consent_reference", "must have 1 to 200 characters").into());
        }
        let consented_at = request
            .consented_at
            .and_then(|time| from_proto(time.seconds, time.nanos).ok())
            .ok_or_else(|| invalid("consented_at", "is required"))?;
        let templates = self
            .app
            .enrol(Enrolment {
                subject: id("subject_id", &request.subject_id)?,
                template: id("template_id", &request.template_id)?,
                model: &face.model,
                vector: &face.values,
                galleries: galleries(&request.gallery_ids, 1)?,
                consent_reference: request.consent_reference,
                consented_at: to_micros(consented_at),
            })
            .await?;
        Ok(Response::new(EnrolTemplateResponse {
            template_id: request.template_id,
            templates: u32::try_from(templates).unwrap_or(u32::MAX),
        }))
    }

    async fn set_galleries(
        &self,
        request: Request<SetGalleriesRequest>,
    ) -> Result<Response<SetGalleriesResponse>, Status> {
        let request = request.into_inner();
        self.app
            .set_galleries(
                id("subject_id", &request.subject_id)?,
                galleries(&request.gallery_ids, 0)?,
            )
            .await?;
        Ok(Response::new(SetGalleriesResponse {}))
    }

    async fn erase_subject(
        &self,
        request: Request<EraseSubjectRequest>,
    ) -> Result<Response<EraseSubjectResponse>, Status> {
        let request = request.into_inner();
        let erased = self
            .app
            .erase(
                id("subject_id", &request.subject_id)?,
                id("pseudonym", &request.pseudonym)?,
                Order {
                    reason: told("reason", request.reason, 100)?,
                    requested_by: told("requested_by", request.requested_by, 300)?,
                },
            )
            .await?;
        Ok(Response::new(EraseSubjectResponse {
            templates: u32::try_from(erased.templates).unwrap_or(u32::MAX),
            erased_at: erased.erased_at.map(timestamp),
            receipt: erased.receipt.unwrap_or_default(),
            final_at: erased.final_at.map(timestamp),
        }))
    }

    async fn get_erasure_receipts(
        &self,
        request: Request<GetErasureReceiptsRequest>,
    ) -> Result<Response<GetErasureReceiptsResponse>, Status> {
        let pseudonym = id("pseudonym", &request.into_inner().pseudonym)?;
        let receipts = self.app.receipts(pseudonym).await?;
        Ok(Response::new(GetErasureReceiptsResponse { receipts }))
    }

    async fn list_models(
        &self,
        _: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let models = self.app.models().map(|model| Model {
            name: model.name.clone(),
            version: model.version.clone(),
            dimension: u32::try_from(model.dimension).unwrap_or(u32::MAX),
            threshold: model.threshold,
            margin: model.margin,
        });
        Ok(Response::new(ListModelsResponse {
            models: models.collect(),
        }))
    }

    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let status = self.app.status().await?;
        let templates = status.counts.templates.iter().map(|(_, count)| count);
        let models = self.app.model_counts().await?.into_iter();
        Ok(Response::new(GetStatusResponse {
            subjects: status.subjects,
            templates: templates.sum::<usize>() as u64,
            galleries: status.counts.galleries as u64,
            corrupt_rows: status.corrupt as u64,
            models: models
                .map(|count| ModelCount {
                    name: count.name,
                    version: count.version,
                    templates: count.templates,
                    served: count.served,
                    subjects_missing: count.subjects_missing,
                })
                .collect(),
        }))
    }

    async fn renew_rotation(
        &self,
        request: Request<RenewRotationRequest>,
    ) -> Result<Response<RenewRotationResponse>, Status> {
        let model = request.into_inner().model;
        let renewals = self.app.renew_rotation(&model).await?;
        Ok(Response::new(RenewRotationResponse {
            renewals,
            most_renewals: Rotation::MOST_RENEWALS,
        }))
    }

    async fn forget_model(
        &self,
        request: Request<ForgetModelRequest>,
    ) -> Result<Response<ForgetModelResponse>, Status> {
        let ForgetModelRequest { name, version } = request.into_inner();
        let templates = self.app.forget_model(&name, &version).await?;
        Ok(Response::new(ForgetModelResponse { templates }))
    }

    async fn list_acts(
        &self,
        request: Request<ListActsRequest>,
    ) -> Result<Response<ListActsResponse>, Status> {
        let after_id = request.into_inner().after_id;
        let after = match after_id.as_str() {
            "" => None,
            text => Some(id("after_id", text)?),
        };
        let acts = self.app.acts_after(after).await?;
        Ok(Response::new(ListActsResponse {
            acts: acts.into_iter().map(message).collect(),
        }))
    }
}

fn message(act: StoredAct) -> Act {
    Act {
        id: act.id.to_string(),
        at: Some(timestamp(to_micros(act.at))),
        code: act.code,
        subject: act.subject,
        actor: act.actor,
        request_id: act.request.unwrap_or_default(),
    }
}

fn timestamp(micros: i64) -> prost_types::Timestamp {
    let time = from_micros(micros);
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

fn invalid(field: &'static str, detail: &'static str) -> Error {
    Error::InvalidField { field, detail }
}

fn required(face: Option<FaceVector>) -> Result<FaceVector, Error> {
    face.ok_or_else(|| invalid("face", "is required"))
}

fn id(field: &'static str, text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| invalid(field, "is not a UUID"))
}

/// None where nothing is said.
fn told(field: &'static str, text: String, most: usize) -> Result<Option<String>, Error> {
    if text.chars().count() > most {
        return Err(invalid(field, "is too long"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn galleries(ids: &[String], least: usize) -> Result<Vec<Uuid>, Error> {
    if !(least..=MAX_GALLERIES).contains(&ids.len()) {
        return Err(invalid("gallery_ids", "must be 1 to 1,000"));
    }
    ids.iter().map(|text| id("gallery_ids", text)).collect()
}
