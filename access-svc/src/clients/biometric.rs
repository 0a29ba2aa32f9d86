use audit_log::{Entry, Kind};
use jiff::Timestamp;
use mesh::{client::MeshChannel, clock::from_proto};
use propdev_proto::biometric::{
    Act, EnrolTemplateRequest, EraseSubjectRequest, FaceVector, GetErasureReceiptsRequest,
    IdentifyRequest, ListActsRequest, SetGalleriesRequest,
    biometric_service_client::BiometricServiceClient, identify_response::Outcome,
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::unexpected;
use crate::{
    domain::{decision::Unrecognised, erasure::Order},
    error::Error,
};

pub(crate) const SERVICE: &str = "biometric-svc";

#[derive(Clone)]
pub(crate) struct Biometric {
    client: BiometricServiceClient<MeshChannel>,
}

pub(crate) struct Identified {
    pub(crate) subject: Result<Uuid, Unrecognised>,
    pub(crate) probe_mac: Vec<u8>,
}

pub(crate) struct Enrolment {
    pub(crate) subject: Uuid,
    pub(crate) template: Uuid,
    pub(crate) face: FaceVector,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) consent_reference: String,
    pub(crate) consented_at: Timestamp,
}

/// What an erasure has destroyed there.
pub(crate) struct Erased {
    pub(crate) templates: u32,
    /// Compact JWS.
    pub(crate) receipt: String,
    /// None until no older copy can be read.
    pub(crate) final_at: Option<Timestamp>,
}

impl Biometric {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self {
            client: BiometricServiceClient::new(channel),
        }
    }

    pub(crate) async fn identify(&self, face: FaceVector, site: Uuid) -> Result<Identified, Error> {
        let response = self
            .client
            .clone()
            .identify(IdentifyRequest {
                face: Some(face),
                gallery_ids: vec![site.to_string()],
            })
            .await
            .map_err(|status| identify_error(&status))?
            .into_inner();
        let subject = match response.outcome() {
            Outcome::Match => Ok(Uuid::try_parse(&response.subject_id).map_err(|_| malformed())?),
            Outcome::Ambiguous => Err(Unrecognised::Ambiguous),
            Outcome::Nobody | Outcome::Unspecified => Err(Unrecognised::Unknown),
        };
        Ok(Identified {
            subject,
            probe_mac: response.probe_mac,
        })
    }

    /// Templates the subject has afterwards.
    pub(crate) async fn enrol(&self, enrolment: Enrolment) -> Result<u32, Error> {
        let response = self
            .client
            .clone()
            .enrol_template(EnrolTemplateRequest {
                subject_id: enrolment.subject.to_string(),
                template_id: enrolment.template.to_string(),
                face: Some(enrolment.face),
                gallery_ids: enrolment.sites.iter().map(Uuid::to_string).collect(),
                consent_reference: enrolment.consent_reference,
                consented_at: Some(prost_types::Timestamp {
                    seconds: enrolment.consented_at.as_second(),
                    nanos: enrolment.consented_at.subsec_nanosecond(),
                }),
            })
            .await
            .map_err(|status| refused(&status))?;
        Ok(response.into_inner().templates)
    }

    /// Where a subject is searched for from now on. One that has no templates is nowhere anyway.
    pub(crate) async fn set_galleries(&self, subject: Uuid, sites: &[Uuid]) -> Result<(), Error> {
        let request = SetGalleriesRequest {
            subject_id: subject.to_string(),
            gallery_ids: sites.iter().map(Uuid::to_string).collect(),
        };
        match self.client.clone().set_galleries(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(unexpected(SERVICE, &status)),
        }
    }

    /// Erasing again gives the first receipt again.
    pub(crate) async fn erase(
        &self,
        subject: Uuid,
        pseudonym: Uuid,
        order: &Order,
    ) -> Result<Erased, Error> {
        let erased = self
            .client
            .clone()
            .erase_subject(EraseSubjectRequest {
                subject_id: subject.to_string(),
                pseudonym: pseudonym.to_string(),
                reason: order.reason.name().unwrap_or_default().into(),
                requested_by: order.requested_by.clone(),
            })
            .await
            .map_err(|status| unexpected(SERVICE, &status))?
            .into_inner();
        let final_at = erased
            .final_at
            .map(|time| from_proto(time.seconds, time.nanos))
            .transpose()
            .map_err(|_| malformed())?;
        Ok(Erased {
            templates: erased.templates,
            receipt: erased.receipt,
            final_at,
        })
    }

    /// What was done there after that act, as the audit log tells it, the oldest
    /// first; an entry has its act's id.
    pub(crate) async fn acts_after(&self, id: Option<Uuid>) -> Result<Vec<Entry>, Error> {
        let request = ListActsRequest {
            after_id: id.map(|id| id.to_string()).unwrap_or_default(),
        };
        let answer = self.client.clone().list_acts(request).await;
        let acts = answer.map_err(|status| unexpected(SERVICE, &status))?;
        let entries = acts.into_inner().acts.into_iter().map(entry);
        entries.collect::<Option<_>>().ok_or_else(malformed)
    }

    /// Receipts of an erasure, the oldest first.
    pub(crate) async fn receipts(&self, pseudonym: Uuid) -> Result<Vec<String>, Error> {
        let request = GetErasureReceiptsRequest {
            pseudonym: pseudonym.to_string(),
        };
        let answer = self.client.clone().get_erasure_receipts(request).await;
        match answer {
            Ok(answer) => Ok(answer.into_inner().receipts),
            Err(status) if status.code() == Code::NotFound => Ok(Vec::new()),
            Err(status) => Err(unexpected(SERVICE, &status)),
        }
    }
}

fn entry(act: Act) -> Option<Entry> {
    let id = Uuid::try_parse(&act.id).ok()?;
    let at = act.at?;
    let at = from_proto(at.seconds, at.nanos).ok()?;
    Some(Entry {
        actor: Some(act.actor),
        service: Some(SERVICE.to_owned()),
        request: (!act.request_id.is_empty()).then_some(act.request_id),
        subject: Some(act.subject),
        ..Entry::with_id(id, Kind::Act, act.code, at)
    })
}

fn malformed() -> Error {
    Error::UnexpectedAnswer {
        service: SERVICE,
        code: Code::Ok,
    }
}

fn identify_error(status: &Status) -> Error {
    if status.code() != Code::InvalidArgument {
        return unexpected(SERVICE, status);
    }
    let reason = match mesh::error::reason(status) {
        Some((reason, _)) if reason == "UNKNOWN_FACE_MODEL" => "UNKNOWN_FACE_MODEL",
        _ => "INVALID_FACE_VECTOR",
    };
    Error::InvalidFace { reason }
}

/// The gate's refusals are the operator's to read.
fn refused(status: &Status) -> Error {
    match mesh::error::reason(status) {
        Some((reason, _)) if !mesh::error::is_unavailable(status) => Error::Refused {
            service: SERVICE,
            code: status.code(),
            reason,
            message: status.message().to_owned(),
        },
        _ => unexpected(SERVICE, status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_an_entry_of_the_same_id_that_names_its_service() {
        let id = Uuid::now_v7();
        let act = Act {
            id: id.to_string(),
            at: Some(prost_types::Timestamp::default()),
            code: "keys_rotated".into(),
            subject: "2".into(),
            actor: "operator/operator/dev".into(),
            request_id: String::new(),
        };
        let expected = Entry {
            actor: Some("operator/operator/dev".into()),
            service: Some("biometric-svc".into()),
            subject: Some("2".into()),
            ..Entry::with_id(id, Kind::Act, "keys_rotated", Timestamp::UNIX_EPOCH)
        };
        assert_eq!(entry(act.clone()), Some(expected));
        let nameless = Act {
            id: String::new(),
            ..act.clone()
        };
        assert_eq!(entry(nameless), None);
        assert_eq!(entry(Act { at: None, ..act }), None);
    }
}
