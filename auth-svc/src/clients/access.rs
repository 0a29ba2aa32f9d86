use mesh::client::MeshChannel;
use propdev_proto::{
    access::{
        DescribeFaceSubjectRequest, DescribePlateSubjectRequest, DeviceKind,
        ResolveSearchScopeRequest, SubjectContext, subject_service_client::SubjectServiceClient,
    },
    auth::PlateReading,
};
use tonic::Code;
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

#[derive(Clone)]
pub(crate) struct Access {
    client: SubjectServiceClient<MeshChannel>,
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
            site_ids: self.client.sites.iter().map(Uuid::to_string).collect(),
            device_id: self.device.unwrap_or_default().to_owned(),
        }
    }
}

impl Access {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self {
            client: SubjectServiceClient::new(channel),
        }
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
    ) -> Result<Option<Subject>, Error> {
        let response = self
            .client
            .clone()
            .describe_face_subject(DescribeFaceSubjectRequest {
                context: Some(context.to_proto()),
                subject_id: subject.unwrap_or_default(),
                probe_mac,
            })
            .await
            .map_err(|status| unexpected(SERVICE, &status))?
            .into_inner();
        let evidence = response.evidence_id;
        Ok(response
            .subject
            .map(|described| Subject::of(Means::Face, described, Some(evidence))))
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
