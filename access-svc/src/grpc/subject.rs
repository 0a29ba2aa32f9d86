use propdev_proto::access::{
    DescribeFaceSubjectsRequest, DescribeFaceSubjectsResponse, DescribePlateSubjectRequest,
    DescribePlateSubjectResponse, FaceSubject, FaceSubjectQuery, GetTokenStandingRequest,
    GetTokenStandingResponse, ResolveSearchScopeRequest, ResolveSearchScopeResponse,
    SubjectContext, SubjectDescription, subject_service_server::SubjectService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{fault, id, ids, optional_id, optional_kind, optional_text, optional_time},
};
use crate::{
    app::{Context, Described, DescribedFace, FaceQuery},
    domain::plate::Plate,
    error::Error,
};

/// Queries in one call.
const MOST_QUERIES: usize = 64;

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

    async fn describe_face_subjects(
        &self,
        request: Request<DescribeFaceSubjectsRequest>,
    ) -> Result<Response<DescribeFaceSubjectsResponse>, Status> {
        let queries = request.into_inner().queries;
        if !(1..=MOST_QUERIES).contains(&queries.len()) {
            return Err(fault("queries", "must be 1 to 64").into());
        }
        let queries = queries.into_iter().map(query).collect::<Result<_, _>>()?;
        let described = self.app.describe_faces(queries).await?;
        let subjects = described.into_iter().map(face_subject).collect();
        Ok(Response::new(DescribeFaceSubjectsResponse { subjects }))
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
        let face_issued_at = optional_time("face_issued_at", request.face_issued_at)?;
        let evidence = Some(request.evidence_id.as_str()).filter(|id| !id.is_empty());
        let good = self
            .app
            .token_is_good(
                (&request.jti, evidence),
                &request.pseudonym,
                partner,
                face_issued_at,
            )
            .await?;
        Ok(Response::new(GetTokenStandingResponse { good }))
    }
}

fn query(message: FaceSubjectQuery) -> Result<FaceQuery, Error> {
    if message.probe_mac.len() != 32 {
        return Err(fault("queries.probe_mac", "must have 32 bytes"));
    }
    Ok(FaceQuery {
        context: context(message.context)?,
        subject: optional_id("queries.subject_id", &message.subject_id)?,
        probe_mac: message.probe_mac,
    })
}

fn face_subject(face: DescribedFace) -> FaceSubject {
    FaceSubject {
        subject: face.subject.map(description),
        evidence_id: face.evidence.map_or_else(String::new, |id| id.to_string()),
        replayed: face.replayed,
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
