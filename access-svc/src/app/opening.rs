//! One request to open: who asks, who stands there, whether it opens, and what
//! became of the command. The order of checks is the partners' contract.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh::context::CallContext;
use propdev_proto::biometric::FaceVector;
use tracing::Instrument;
use uuid::Uuid;

use super::{App, subject::use_key};
use crate::{
    domain::{
        decision::{self, Facts, ResidentFacts, Unrecognised},
        device::{Device, DeviceKind, Means},
        entry::{self, Link},
        opening::{Command, CommandStatus, Opening},
        plate::Plate,
        token::{Bearer, Presented},
    },
    error::{Error, Noun},
    store::{Commit, Committed, Idempotency, NewEntry, Page, Probe, Resident, Sealer, Seen},
};

/// How old a picture may be, and how far a camera's clock may run ahead.
const EVIDENCE_AGE: SignedDuration = SignedDuration::from_secs(30);
/// How long after its expiry a command's outcome may still come: the edge waits
/// a second for the partner's answer, which has then to be stored.
const ANSWER_GRACE: SignedDuration = SignedDuration::from_secs(2);
/// How often a repeat looks whether the first request has ended.
const POLL: Duration = Duration::from_millis(25);
/// Kept back from the deadline, to answer `in_progress` in time.
const POLL_RESERVE: Duration = Duration::from_millis(500);

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

/// What became of a decision.
enum Settled {
    Opened(Box<Opened>),
    /// Another request with this idempotency key was first.
    SameKey,
    /// The token or the evidence was used up by this opening.
    Used(Uuid),
}

/// Who was recognised, and what the recognition uses up.
struct Recognised {
    resident: Result<Resident, Unrecognised>,
    use_key: Option<String>,
    /// The plate that was read.
    plate: Option<Plate>,
}

impl Recognised {
    /// Evidence that is of no use, so that nothing is used up.
    fn nobody(cause: Unrecognised) -> Self {
        Self {
            resident: Err(cause),
            use_key: None,
            plate: None,
        }
    }
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
                (Settled::Opened(opened), _) => return Ok(*opened),
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

    /// The first answer of this key, once it is there, and for ever after.
    async fn repeat(&self, idempotency: &Idempotency) -> Result<Option<Opened>, Error> {
        let store = &self.parts.store;
        let Some((fingerprint, id)) = store.idempotency(&idempotency.key).await? else {
            return Ok(None);
        };
        if fingerprint != idempotency.fingerprint {
            return Err(Error::IdempotencyMismatch);
        }
        loop {
            let opening = store
                .opening(id)
                .await?
                .ok_or(Error::Corrupt("idempotency key"))?;
            let awaited = opening.command.as_ref().filter(|c| c.answered.is_none());
            let answer = match awaited.map(|command| command.expires_at + ANSWER_GRACE) {
                None => Some(opening),
                Some(end) if self.parts.clock.now() < end => None,
                // The first request is gone: this becomes the first answer.
                Some(_) => {
                    let status = CommandStatus::Unknown;
                    let telling = entry::outcome(&opening, status, self.parts.clock.now());
                    Some(store.record_outcome(id, status, telling).await?)
                }
            };
            if let Some(opening) = answer {
                return Ok(Some(Opened {
                    opening: opening.into_answered(),
                    replayed: true,
                }));
            }
            if CallContext::current().is_none_or(|call| call.remaining() < POLL_RESERVE) {
                return Err(Error::InProgress);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Scoped to client, path and, for a subject token, the token itself.
    fn idempotency(&self, bearer: &Bearer, request: &OpenRequest) -> Option<Idempotency> {
        let name = request.idempotency_key.as_ref()?;
        let key = &self.parts.store.keys().fingerprint;
        let jti = bearer.subject.as_ref().map_or("", |_| bearer.jti.as_str());
        Some(Idempotency {
            key: key
                .mac(&[
                    b"idempotency key",
                    bearer.client_id.as_bytes(),
                    request.kind.scope().as_bytes(),
                    request.device_id.as_bytes(),
                    jti.as_bytes(),
                    name.as_bytes(),
                ])
                .to_vec(),
            fingerprint: key
                .mac(&[b"idempotency body", &request.body_digest])
                .to_vec(),
        })
    }

    async fn recognise(
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
            let resident = store
                .resident_by_pseudonym(&subject.pseudonym, bearer.partner)
                .await?;
            return Ok(Recognised {
                resident: resident.ok_or(Unrecognised::Unknown),
                use_key: Some(use_key),
                plate: None,
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
                let resident = self.holder_of(&plate, &[device.site]).await?;
                Ok(Recognised {
                    resident: match resident {
                        _ if !fresh => Err(Unrecognised::Stale),
                        resident => resident.ok_or(Unrecognised::Unknown),
                    },
                    use_key: None,
                    plate: Some(plate),
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
                let resident = store.resident_by_subject(subject).await?;
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
        })
    }

    /// What the audit log says of a decision; a plate that was read goes beside
    /// it, under its holder's key or, of a stranger's, the month's.
    async fn telling(&self, opening: &Opening, recognised: &Recognised) -> Result<NewEntry, Error> {
        let store = &self.parts.store;
        let entry = entry::decision(opening);
        let Some(plate) = &recognised.plate else {
            return store.new_entry(entry, None);
        };
        let link = Link::plate(plate);
        let Ok(resident) = &recognised.resident else {
            let key = store.month_key(opening.decided_at).await?;
            return store.new_entry(entry, Some((&link, Sealer::Month(&key))));
        };
        // Of one whose key is gone by now nothing is kept.
        let key = store.resident_key(resident.id).await?;
        let sealer = key.as_ref().map(Sealer::Resident);
        store.new_entry(entry, sealer.map(|sealer| (&link, sealer)))
    }

    async fn decide(
        &self,
        bearer: &Bearer,
        device: &Device,
        resident: Result<&Resident, Unrecognised>,
    ) -> Result<Opening, Error> {
        let store = &self.parts.store;
        let site = store
            .site(device.site)
            .await?
            .ok_or(Error::Corrupt("device site"))?;
        let known = match resident {
            Err(cause) => Err(cause),
            Ok(resident) => Ok(ResidentFacts {
                suspended: resident.suspended,
                grants: store.grants_on(resident.id, device.uid).await?,
                subscription: store
                    .subscription(resident.id, device.site, device.kind)
                    .await?,
            }),
        };
        let facts = Facts {
            site: site.passage,
            device: device.passage,
            device_disabled: device.disabled,
            zone: device.zone(),
            resident: known,
        };
        let now = self.parts.clock.now();
        let decision = decision::decide(&facts, now);
        let expiry = SignedDuration::try_from(self.parts.command_expiry)
            .map_err(|_| Error::Corrupt("command expiry"))?;
        Ok(Opening {
            id: Uuid::now_v7(),
            partner: device.partner,
            site: device.site,
            device_id: device.id.clone(),
            kind: device.kind,
            client_id: bearer.client_id.clone(),
            means: Means::of(device.kind),
            audit_pseudonym: resident.ok().map(|resident| resident.audit_pseudonym),
            command: decision.denial.is_none().then(|| Command {
                id: Uuid::now_v7(),
                status: CommandStatus::Pending,
                answered: None,
                expires_at: now + expiry,
            }),
            denial_code: decision.denial.map(|denial| denial.code().to_owned()),
            checks: decision.checks,
            decided_at: now,
        })
    }

    /// Stores the decision and sends what was granted. It runs on even if the
    /// caller goes away: what was stored is sent, and what was sent is recorded.
    async fn settle(&self, commit: Commit) -> Result<Settled, Error> {
        let app = self.clone();
        let work = async move { app.store_and_send(commit).await };
        let task = match CallContext::current() {
            Some(context) => tokio::spawn(context.scope(work).in_current_span()),
            None => tokio::spawn(work.in_current_span()),
        };
        task.await.map_err(|_| Error::Corrupt("dispatch"))?
    }

    async fn store_and_send(&self, commit: Commit) -> Result<Settled, Error> {
        let opening = commit.opening.clone();
        let settings_version = match self.parts.store.commit_opening(commit).await? {
            Committed::Stored { settings_version } => settings_version,
            Committed::SameKey => return Ok(Settled::SameKey),
            Committed::Used(by) => return Ok(Settled::Used(by)),
        };
        let opening = match opening.command.clone() {
            Some(command) => self.send(opening, command, settings_version).await,
            None => opening,
        };
        tell(&opening);
        Ok(Settled::Opened(Box::new(Opened {
            opening,
            replayed: false,
        })))
    }

    async fn send(&self, opening: Opening, command: Command, settings_version: i64) -> Opening {
        let store = &self.parts.store;
        let sent = self.parts.edge.send(&opening, &command, settings_version);
        let status = sent.await;
        let telling = entry::outcome(&opening, status, self.parts.clock.now());
        match store.record_outcome(opening.id, status, telling).await {
            Ok(recorded) => recorded.into_answered(),
            Err(error) => {
                // The command has left: its outcome is the answer, stored or not.
                tracing::error!(%error, opening_id = %opening.id, "an outcome was not stored");
                Opening {
                    command: Some(Command {
                        status,
                        answered: Some(status),
                        ..command
                    }),
                    ..opening
                }
            }
        }
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

/// What an operator looks for when a resident calls; it names no person.
fn tell(opening: &Opening) {
    tracing::info!(
        opening_id = %opening.id,
        device_id = opening.device_id,
        client_id = opening.client_id,
        denial = opening.denial_code,
        command_status = ?opening.command.as_ref().map(|command| command.status),
        "decided"
    );
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
