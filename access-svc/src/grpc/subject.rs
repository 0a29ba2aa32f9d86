use propdev_proto::access::{
    DescribeFaceSubjectRequest, DescribeFaceSubjectResponse, DescribePlateSubjectRequest,
    DescribePlateSubjectResponse, GetTokenStandingRequest, GetTokenStandingResponse,
    ResolveSearchScopeRequest, ResolveSearchScopeResponse, SubjectContext, SubjectDescription,
    subject_service_server::SubjectService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{fault, id, ids, optional_id, optional_kind, optional_text},
};
use crate::{
    app::{Context, Described},
    domain::plate::Plate,
    error::Error,
};

#[tonic::async_trait]
impl SubjectService for Api {
    async fn resolve_search_scope(
        &self,
        request: Request<ResolveSearchScopeRequest>,
    ) -> Result<Response<ResolveSearchScopeResponse>, Status> {
        let request = request.into_inner();
        let kind = optional_kind(request.device_kind());
        let sites = self
            .app
            .search_scope(&context(request.context)?, kind)
            .await?;
        Ok(Response::new(ResolveSearchScopeResponse {
            site_ids: sites.iter().map(Uuid::to_string).collect(),
        }))
    }

    async fn describe_face_subject(
        &self,
        request: Request<DescribeFaceSubjectRequest>,
    ) -> Result<Response<DescribeFaceSubjectResponse>, Status> {
        let request = request.into_inner();
        if request.probe_mac.len() != 32 {
            return Err(fault("probe_mac", "must have 32 bytes").into());
        }
        let subject = optional_id("subject_id", &request.subject_id)?;
        let (described, evidence_id) = self
            .app
            .describe_face(&context(request.context)?, subject, request.probe_mac)
            .await?;
        Ok(Response::new(DescribeFaceSubjectResponse {
            subject: described.map(description),
            evidence_id,
        }))
    }

    async fn describe_plate_subject(
        &self,
        request: Request<DescribePlateSubjectRequest>,
    ) -> Result<Response<DescribePlateSubjectResponse>, Status> {
        let request = request.into_inner();
        let reading = request.plate.ok_or_else(|| fault("plate", "is required"))?;
        let number = Zeroizing::new(reading.number);
        let plate = Plate::parse(&number, &reading.country)
            .map_err(|error| Error::InvalidPlate(error.to_string()))?;
        let described = self
            .app
            .describe_plate(&context(request.context)?, &plate)
            .await?;
        Ok(Response::new(DescribePlateSubjectResponse {
            subject: described.map(description),
        }))
    }

    async fn get_token_standing(
        &self,
        request: Request<GetTokenStandingRequest>,
    ) -> Result<Response<GetTokenStandingResponse>, Status> {
        let request = request.into_inner();
        let partner = id("partner_id", &request.partner_id)?;
        let evidence = Some(request.evidence_id.as_str()).filter(|id| !id.is_empty());
        let good = self
            .app
            .token_is_good(&request.jti, evidence, &request.pseudonym, partner)
            .await?;
        Ok(Response::new(GetTokenStandingResponse { good }))
    }
}

fn context(message: Option<SubjectContext>) -> Result<Context, Error> {
    let message = message.ok_or_else(|| fault("context", "is required"))?;
    Ok(Context {
        partner: id("context.partner_id", &message.partner_id)?,
        client_id: message.client_id,
        sites: ids("context.site_ids", &message.site_ids)?,
        device_id: optional_text(message.device_id),
    })
}

fn description(described: Described) -> SubjectDescription {
    SubjectDescription {
        pseudonym: described.pseudonym,
        device_ids: described.device_ids,
        truncated: described.truncated,
        audit_pseudonym: described.audit_pseudonym.to_string(),
    }
}
