//! Who stands at the device, by token, face or plate.

use jiff::SignedDuration;
use propdev_proto::biometric::FaceVector;

use super::{Evidence, OpenRequest};
use crate::{
    app::{App, subject::use_key},
    domain::{
        decision::Unrecognised,
        device::{Device, Means},
        plate::Plate,
        token::Bearer,
    },
    error::Error,
    store::{Probe, Resident, ResidentKey, Seen},
};

/// How old a picture may be, and how far a camera's clock may run ahead.
const EVIDENCE_AGE: SignedDuration = SignedDuration::from_secs(30);

/// Who was recognised, and what the recognition uses up.
pub(super) struct Recognised {
    pub(super) resident: Result<Resident, Unrecognised>,
    pub(super) use_key: Option<String>,
    /// The plate that was read.
    pub(super) plate: Option<Plate>,
    /// Its holder's, under which the audit log keeps it.
    pub(super) key: Option<ResidentKey>,
}

impl Recognised {
    /// Evidence that is of no use, so that nothing is used up.
    fn nobody(cause: Unrecognised) -> Self {
        Self {
            resident: Err(cause),
            use_key: None,
            plate: None,
            key: None,
        }
    }
}

impl App {
    pub(super) async fn recognise(
        &self,
        bearer: &Bearer,
        device: &Device,
        request: &OpenRequest,
    ) -> Result<Recognised, Error> {
        let store = &self.parts.store;
        if let Some(subject) = &bearer.subject {
            let use_key = use_key(&bearer.jti, subject.evidence.as_deref());
            if let Some(by) = store.used_by(&use_key).await? {
                return Err(Error::TokenAlreadyUsed(by));
            }
            let face_issued_at = (subject.means == Means::Face).then_some(subject.issued_at);
            let resident = self
                .person_of(&subject.pseudonym, bearer.partner, face_issued_at)
                .await?;
            return Ok(Recognised {
                resident: resident.ok_or(Unrecognised::Unknown),
                use_key: Some(use_key),
                plate: None,
                key: None,
            });
        }
        let fresh = request
            .captured_at
            .is_none_or(|time| self.parts.clock.now().duration_since(time).abs() <= EVIDENCE_AGE);
        match &request.evidence {
            Evidence::Face(face) => self.recognise_face(bearer, device, face, fresh).await,
            Evidence::Plate { number, country } => {
                let plate = Plate::parse(number, country)
                    .map_err(|error| Error::InvalidPlate(error.to_string()))?;
                let (resident, key) = match self.holder_of(&plate, &[device.site]).await? {
                    _ if !fresh => (Err(Unrecognised::Stale), None),
                    None => (Err(Unrecognised::Unknown), None),
                    Some(holder) => (Ok(holder.resident), Some(holder.key)),
                };
                Ok(Recognised {
                    resident,
                    use_key: None,
                    plate: Some(plate),
                    key,
                })
            }
            Evidence::None | Evidence::Fault { .. } => Err(Error::EvidenceRequired),
        }
    }

    async fn recognise_face(
        &self,
        bearer: &Bearer,
        device: &Device,
        face: &FaceVector,
        fresh: bool,
    ) -> Result<Recognised, Error> {
        let store = &self.parts.store;
        let search = self.may_search(bearer, device)?;
        let found = self
            .parts
            .biometric
            .identify(face.clone(), device.site)
            .await?;
        let seen = self
            .parts
            .probes
            .judge(Probe {
                mac: found.probe_mac,
                client_id: bearer.client_id.clone(),
                at: self.parts.clock.now(),
            })
            .await?;
        let key = match seen {
            Seen::Usable(id) => use_key("", Some(&id.to_string())),
            Seen::Replayed => {
                tracing::info!(client_id = %bearer.client_id, "a probe was replayed");
                search.missed();
                return Ok(Recognised::nobody(Unrecognised::Replayed));
            }
        };
        // A network's retry of what was decided on is no guess.
        if store.used_by(&key).await?.is_some() {
            return Ok(Recognised::nobody(Unrecognised::Used));
        }
        let resident = match found.subject {
            _ if !fresh => Err(Unrecognised::Stale),
            Ok(subject) => {
                let now = self.parts.clock.now();
                let resident = store.resident_by_subject(subject, now).await?;
                resident.ok_or(Unrecognised::Unknown)
            }
            Err(cause) => Err(cause),
        };
        if resident.is_err() {
            search.missed();
        }
        Ok(Recognised {
            resident,
            use_key: Some(key),
            plate: None,
            key: None,
        })
    }
}
