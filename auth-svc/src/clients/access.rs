use futures::FutureExt;
use mesh::{
    client::MeshChannel,
    gather::{Gatherer, Rejected},
};
use propdev_proto::{
    access::{
        AppendAuthEventsRequest, AuthEvent, DescribeFaceSubjectsRequest,
        DescribePlateSubjectRequest, DeviceKind, FaceSubject, FaceSubjectQuery,
        GetTokenStandingRequest, ResolveSearchScopeRequest, SubjectContext,
        audit_service_client::AuditServiceClient, subject_service_client::SubjectServiceClient,
    },
    auth::PlateReading,
};
use prost::Message;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{is_invalid, unexpected};
use crate::{
    app::Plate,
    domain::{
        client::Client,
        token::{Means, Subject},
    },
    error::Error,
};

const SERVICE: &str = "access-svc";

/// Calls about faces under way, and faces in each.
const CALLS: usize = 2;
const TOGETHER: usize = 32;

#[derive(Clone)]
pub(crate) struct Access {
    client: SubjectServiceClient<MeshChannel>,
    faces: Gatherer<FaceSubjectQuery, Result<FaceSubject, Status>>,
    audit: AuditServiceClient<MeshChannel>,
}

/// What a token may say of a face.
pub(crate) struct DescribedFace {
    pub(crate) subject: Option<Subject>,
    pub(crate) replayed: bool,
}

/// On whose behalf, and for which device.
pub(crate) struct Context<'a> {
    pub(crate) client: &'a Client,
    pub(crate) device: Option<&'a str>,
}

/// Which kind of device the evidence opens.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Any,
    Door,
    Barrier,
}

impl Context<'_> {
    fn to_proto(&self) -> SubjectContext {
        SubjectContext {
            partner_id: self.client.partner.to_string(),
            client_id: self.client.id.clone(),
            site_ids: self
                .client
                .settings
                .sites
                .iter()
                .map(Uuid::to_string)
                .collect(),
            device_id: self.device.unwrap_or_default().to_owned(),
        }
    }
}

impl Access {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        let client = SubjectServiceClient::new(channel.clone());
        let asked = client.clone();
        let work = move |queries| describe_faces(asked.clone(), queries).boxed();
        let size = FaceSubjectQuery::encoded_len;
        Self {
            faces: Gatherer::start_sized(CALLS, TOGETHER, size, work),
            client,
            audit: AuditServiceClient::new(channel),
        }
    }

    /// Hands over encoded events; one that is there already is not taken twice.
    pub(crate) async fn append_auth_events(&self, encoded: Vec<Vec<u8>>) -> Result<(), Error> {
        let events = encoded
            .iter()
            .map(|bytes| AuthEvent::decode(bytes.as_slice()))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::Corrupt("audit event"))?;
        self.audit
            .clone()
            .append_auth_events(AppendAuthEventsRequest { events })
            .await
            .map_err(|status| unexpected(SERVICE, &status))?;
        Ok(())
    }

    /// Whether a subject token is neither used up nor of somebody erased or
    /// suspended, nor of a face, issued then, whose consent has been withdrawn.
    pub(crate) async fn token_is_good(
        &self,
        jti: Uuid,
        evidence: Option<String>,
        partner: Uuid,
        pseudonym: String,
        face_issued_at: Option<i64>,
    ) -> Result<bool, Error> {
        let response = self
            .client
            .clone()
            .get_token_standing(GetTokenStandingRequest {
                jti: jti.to_string(),
                evidence_id: evidence.unwrap_or_default(),
                partner_id: partner.to_string(),
                pseudonym,
                face_issued_at: face_issued_at
                    .map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
            })
            .await
            .map_err(|status| unexpected(SERVICE, &status))?;
        Ok(response.into_inner().good)
    }

    /// The sites where evidence is searched; fails as the contract says for a
    /// device that is absent, foreign or of the other kind.
    pub(crate) async fn search_scope(
        &self,
        context: &Context<'_>,
        kind: Kind,
    ) -> Result<Vec<Uuid>, Error> {
        let request = ResolveSearchScopeRequest {
            context: Some(context.to_proto()),
            device_kind: match kind {
                Kind::Any => DeviceKind::Unspecified,
                Kind::Door => DeviceKind::Door,
                Kind::Barrier => DeviceKind::Barrier,
            }
            .into(),
        };
        let response = self
            .client
            .clone()
            .resolve_search_scope(request)
            .await
            .map_err(|status| {
                if status.code() == Code::NotFound {
                    Error::InvalidRequest("device_id names no device of this client")
                } else {
                    unexpected(SERVICE, &status)
                }
            })?;
        response
            .into_inner()
            .site_ids
            .iter()
            .map(|id| {
                Uuid::try_parse(id).map_err(|_| Error::UnexpectedAnswer {
                    service: SERVICE,
                    code: Code::Ok,
                })
            })
            .collect()
    }

    pub(crate) async fn describe_face(
        &self,
        context: &Context<'_>,
        subject: Option<String>,
        probe_mac: Vec<u8>,
    ) -> Result<DescribedFace, Error> {
        let query = FaceSubjectQuery {
            context: Some(context.to_proto()),
            subject_id: subject.unwrap_or_default(),
            probe_mac,
        };
        let found = match self.faces.submit(query).await {
            Ok(result) => result.map_err(|status| unexpected(SERVICE, &status))?,
            Err(Rejected::Full) => return Err(Error::Dependency(SERVICE)),
            Err(Rejected::GivenUp) => {
                return Err(Error::UnexpectedAnswer {
                    service: SERVICE,
                    code: Code::Ok,
                });
            }
        };
        let evidence = found.evidence_id;
        Ok(DescribedFace {
            subject: found
                .subject
                .map(|described| Subject::of(Means::Face, described, Some(evidence))),
            replayed: found.replayed,
        })
    }

    pub(crate) async fn describe_plate(
        &self,
        context: &Context<'_>,
        plate: &Plate,
    ) -> Result<Option<Subject>, Error> {
        let response = self
            .client
            .clone()
            .describe_plate_subject(DescribePlateSubjectRequest {
                context: Some(context.to_proto()),
                plate: Some(PlateReading {
                    number: plate.number.to_string(),
                    country: plate.country.clone(),
                }),
            })
            .await
            .map_err(|status| {
                if is_invalid(&status) {
                    Error::InvalidRequest("plate is no plate of that country")
                } else {
                    unexpected(SERVICE, &status)
                }
            })?
            .into_inner();
        Ok(response
            .subject
            .map(|described| Subject::of(Means::Plate, described, None)))
    }
}

async fn describe_faces(
    mut client: SubjectServiceClient<MeshChannel>,
    queries: Vec<FaceSubjectQuery>,
) -> Vec<Result<FaceSubject, Status>> {
    let count = queries.len();
    let request = DescribeFaceSubjectsRequest { queries };
    match client.describe_face_subjects(request).await {
        Ok(response) => response.into_inner().subjects.into_iter().map(Ok).collect(),
        Err(status) => vec![Err(status); count],
    }
}
