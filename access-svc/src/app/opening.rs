//! One request to open: who asks, who stands there, whether it opens, and what
//! became of the command. The order of checks is the partners' contract.

mod decide;
mod outcome;
mod recognise;
mod repeat;
mod send;

use jiff::Timestamp;
use propdev_proto::biometric::FaceVector;
use uuid::Uuid;

use self::send::Settled;
use super::App;
use crate::{
    domain::{
        decision::Unrecognised,
        device::{DeviceKind, Means},
        entry,
        opening::Opening,
        plate::Plate,
        token::{Bearer, Presented},
    },
    error::{Error, Noun},
    store::{Commit, Page},
};

pub(crate) enum Evidence {
    None,
    Face(FaceVector),
    Plate {
        number: zeroize::Zeroizing<String>,
        country: String,
    },
    /// The edge could not read the body.
    Fault {
        reason: String,
        detail: String,
    },
}

pub(crate) struct OpenRequest {
    pub(crate) presented: Presented,
    pub(crate) kind: DeviceKind,
    pub(crate) device_id: String,
    pub(crate) evidence: Evidence,
    pub(crate) captured_at: Option<Timestamp>,
    /// SHA-256 of the body.
    pub(crate) body_digest: Vec<u8>,
    pub(crate) idempotency_key: Option<String>,
}

pub(crate) struct Opened {
    pub(crate) opening: Opening,
    pub(crate) replayed: bool,
}

impl App {
    pub(crate) async fn open(&self, request: OpenRequest) -> Result<Opened, Error> {
        let bearer = self.admit(&request.presented).await?;
        if !bearer.has_scope(request.kind.scope())
            || bearer
                .device
                .as_ref()
                .is_some_and(|id| *id != request.device_id)
        {
            return Err(Error::InsufficientScope);
        }
        let device = self
            .visible_device(bearer.partner, &bearer.sites, &request.device_id)
            .await?;
        if device.kind != request.kind {
            return Err(Error::NotFound(Noun::Device));
        }
        check_body(&bearer, &request)?;

        let idempotency = self.idempotency(&bearer, &request);
        if let Some(idempotency) = &idempotency
            && let Some(repeat) = self.repeat(idempotency).await?
        {
            return Ok(repeat);
        }
        // Twice at most: a probe used by a request at the same time is judged
        // again, as replayed.
        for _ in 0..2 {
            let recognised = self.recognise(&bearer, &device, &request).await?;
            let resident = recognised.resident.as_ref().map_err(|cause| *cause);
            let opening = self.decide(&bearer, &device, resident).await?;
            let entry = self.telling(&opening, &recognised).await?;
            let commit = Commit {
                opening,
                idempotency: idempotency.clone(),
                use_key: recognised.use_key,
                entry,
            };
            match (self.settle(commit).await?, &idempotency) {
                (Settled::Opened(opened), _) => {
                    if let (Err(Unrecognised::Unknown), Some(read)) =
                        (recognised.resident, recognised.plate)
                    {
                        let telling = entry::near_miss(&opened.opening, self.parts.clock.now());
                        self.look_for_near_miss(read, vec![device.site], telling);
                    }
                    return Ok(*opened);
                }
                (Settled::SameKey, Some(idempotency)) => {
                    return self.repeat(idempotency).await?.ok_or(Error::InProgress);
                }
                (Settled::Used(by), _) if bearer.subject.is_some() => {
                    return Err(Error::TokenAlreadyUsed(by));
                }
                (Settled::SameKey | Settled::Used(_), _) => {}
            }
        }
        Err(Error::InProgress)
    }

    /// For a client-only token of the same partner that has the device's site
    /// and the scope for its kind; for anyone else there is no such opening.
    pub(crate) async fn get_opening(
        &self,
        presented: &Presented,
        id: &str,
    ) -> Result<Opening, Error> {
        let bearer = self.admit(presented).await?;
        let absent = || Error::NotFound(Noun::Opening);
        if bearer.subject.is_some() {
            return Err(absent());
        }
        let id = Uuid::try_parse(id).map_err(|_| absent())?;
        self.parts
            .store
            .opening(id)
            .await?
            .filter(|opening| {
                opening.partner == bearer.partner
                    && bearer.sites.contains(&opening.site)
                    && bearer.has_scope(opening.kind.scope())
            })
            .ok_or_else(absent)
    }

    pub(crate) async fn list_openings(
        &self,
        partner: Option<Uuid>,
        device_id: Option<String>,
        page: Page,
    ) -> Result<Vec<Opening>, Error> {
        self.parts
            .store
            .list_openings(partner, device_id, page)
            .await
    }
}

fn check_body(bearer: &Bearer, request: &OpenRequest) -> Result<(), Error> {
    match (&bearer.subject, &request.evidence) {
        (_, Evidence::Fault { reason, detail }) => Err(Error::Body {
            reason: reason.clone(),
            detail: detail.clone(),
        }),
        (Some(subject), Evidence::None) => {
            // The scope has said so already; a token that says otherwise is none of ours.
            if subject.means == Means::of(request.kind) {
                Ok(())
            } else {
                Err(Error::InsufficientScope)
            }
        }
        (Some(_), _) => Err(Error::ConflictingSubject),
        (None, Evidence::None) => Err(Error::EvidenceRequired),
        (None, Evidence::Face(_)) => permitted(bearer, request, Means::Face),
        (None, Evidence::Plate { number, country }) => {
            permitted(bearer, request, Means::Plate)?;
            Plate::parse(number, country)
                .map(drop)
                .map_err(|error| Error::InvalidPlate(error.to_string()))
        }
    }
}

fn permitted(bearer: &Bearer, request: &OpenRequest, means: Means) -> Result<(), Error> {
    if Means::of(request.kind) != means {
        return Err(Error::Body {
            reason: "MALFORMED_REQUEST".into(),
            detail: "a face opens doors, a plate opens barriers".into(),
        });
    }
    if bearer.permissions.iter().any(|p| p == means.permission()) {
        Ok(())
    } else {
        Err(Error::InsufficientScope)
    }
}
