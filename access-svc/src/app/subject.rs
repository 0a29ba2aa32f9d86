//! What a token may say of a person.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        consent::is_withdrawn,
        device::{Device, DeviceKind, Means},
        entry,
        plate::Plate,
    },
    error::{Error, Noun},
    store::{Holder, Probe, Resident, Seen},
};

/// Most ids of devices that a token names.
const MOST_DEVICES: usize = 64;

/// On whose behalf auth-svc asks.
pub(crate) struct Context {
    pub(crate) partner: Uuid,
    pub(crate) client_id: String,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) device_id: Option<String>,
}

/// A face that biometric-svc has looked at.
pub(crate) struct FaceQuery {
    pub(crate) context: Context,
    /// None when nobody was recognised.
    pub(crate) subject: Option<Uuid>,
    pub(crate) probe_mac: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct DescribedFace {
    pub(crate) subject: Option<Described>,
    /// Shared by every token of this one probe.
    pub(crate) evidence: Option<Uuid>,
    pub(crate) replayed: bool,
}

pub(crate) struct Described {
    pub(crate) pseudonym: String,
    pub(crate) device_ids: Vec<String>,
    pub(crate) truncated: bool,
    pub(crate) audit_pseudonym: Uuid,
}

impl App {
    /// The client's sites, or the one site of the device named.
    pub(crate) async fn search_scope(
        &self,
        context: &Context,
        kind: Option<DeviceKind>,
    ) -> Result<Vec<Uuid>, Error> {
        let Some(id) = &context.device_id else {
            return Ok(context.sites.clone());
        };
        let device = self
            .visible_device(context.partner, &context.sites, id)
            .await?;
        if kind.is_some_and(|kind| kind != device.kind) {
            return Err(Error::NotFound(Noun::Device));
        }
        Ok(vec![device.site])
    }

    /// A device of this partner at one of these sites; absent and foreign ones
    /// cannot be told apart.
    pub(super) async fn visible_device(
        &self,
        partner: Uuid,
        sites: &[Uuid],
        id: &str,
    ) -> Result<Device, Error> {
        self.parts
            .store
            .device(partner, id)
            .await?
            .filter(|device| sites.contains(&device.site))
            .ok_or(Error::NotFound(Noun::Device))
    }

    /// What tokens may say of faces, each face for itself: the subject unless
    /// nobody was recognised or the probe was seen before.
    pub(crate) async fn describe_faces(
        &self,
        queries: Vec<FaceQuery>,
    ) -> Result<Vec<DescribedFace>, Error> {
        let store = &self.parts.store;
        let at = self.parts.clock.now();
        let probes = queries.iter().map(|query| Probe {
            mac: query.probe_mac.clone(),
            client_id: query.context.client_id.clone(),
            at,
        });
        let seen = store.judge_probes(probes.collect()).await?;
        let subjects = queries.iter().filter_map(|query| query.subject).collect();
        let residents = store.residents_by_subject(subjects, at).await?;
        let known: Vec<(&Context, &Resident)> = queries
            .iter()
            .zip(&seen)
            .filter(|(_, seen)| matches!(seen, Seen::Usable(_)))
            .filter_map(|(query, _)| Some((&query.context, residents.get(&query.subject?)?)))
            .collect();
        let mut described = self.describe(&known, Means::Face).await?.into_iter();
        Ok(queries
            .iter()
            .zip(seen)
            .map(|(query, seen)| match seen {
                Seen::Replayed => {
                    tracing::info!(client_id = %query.context.client_id, "a probe was replayed");
                    DescribedFace {
                        replayed: true,
                        ..DescribedFace::default()
                    }
                }
                Seen::Usable(evidence) => {
                    let recognised = query.subject.is_some_and(|id| residents.contains_key(&id));
                    let subject = if recognised { described.next() } else { None };
                    DescribedFace {
                        evidence: subject.is_some().then_some(evidence),
                        subject,
                        replayed: false,
                    }
                }
            })
            .collect())
    }

    /// Whether a subject token is neither used up nor of somebody erased or
    /// suspended, nor of a face whose consent has been withdrawn.
    pub(crate) async fn token_is_good(
        &self,
        (jti, evidence): (&str, Option<&str>),
        pseudonym: &str,
        partner: Uuid,
        face_issued_at: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let used = self.parts.store.used_by(&use_key(jti, evidence)).await?;
        if used.is_some() {
            return Ok(false);
        }
        let person = self.person_of(pseudonym, partner, face_issued_at).await?;
        Ok(person.is_some_and(|person| !person.suspended))
    }

    /// Whom a token names. A withdrawal ends the tokens of the face at once.
    pub(super) async fn person_of(
        &self,
        pseudonym: &str,
        partner: Uuid,
        face_issued_at: Option<Timestamp>,
    ) -> Result<Option<Resident>, Error> {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let person = store.resident_by_pseudonym(pseudonym, partner, now).await?;
        let Some(person) = person else {
            return Ok(None);
        };
        if let Some(issued_at) = face_issued_at
            && is_withdrawn(issued_at, store.last_withdrawal(person.id).await?)
        {
            return Ok(None);
        }
        Ok(Some(person))
    }

    pub(crate) async fn describe_plate(
        &self,
        context: &Context,
        plate: &Plate,
    ) -> Result<Option<Described>, Error> {
        let sites = self.search_scope(context, None).await?;
        match self.holder_of(plate, &sites).await? {
            Some(holder) => {
                let known = [(context, &holder.resident)];
                let described = self.describe(&known, Means::Plate).await?;
                Ok(described.into_iter().next())
            }
            None => {
                let now = self.parts.clock.now();
                let device = context.device_id.as_deref();
                let telling =
                    entry::near_miss_of_token(context.partner, &context.client_id, device, now);
                self.look_for_near_miss(plate.clone(), sites, telling);
                Ok(None)
            }
        }
    }

    /// The resident of these sites who has held the vehicle longest.
    pub(super) async fn holder_of(
        &self,
        plate: &Plate,
        sites: &[Uuid],
    ) -> Result<Option<Holder>, Error> {
        let now = self.parts.clock.now();
        self.parts.store.vehicle_holder(plate, sites, now).await
    }

    async fn describe(
        &self,
        known: &[(&Context, &Resident)],
        means: Means,
    ) -> Result<Vec<Described>, Error> {
        let store = &self.parts.store;
        let residents: Vec<&Resident> = known.iter().map(|(_, resident)| *resident).collect();
        let now = self.parts.clock.now();
        let granted = store.granted_devices(&residents, now).await?;
        let uids: HashSet<Uuid> = granted.values().flatten().copied().collect();
        let devices = store.devices_by_uid(uids.into_iter().collect()).await?;
        let mut described = Vec::with_capacity(known.len());
        let mut unremembered = Vec::new();
        for (context, resident) in known {
            let pseudonym = self.pseudonym(context.partner, resident.id);
            if !self.parts.remembered.contains_key(&pseudonym) {
                unremembered.push((pseudonym.clone(), context.partner, resident.id));
            }
            let granted = granted.get(&resident.id).map_or(&[][..], Vec::as_slice);
            let mut device_ids: Vec<String> = devices
                .iter()
                .filter(|device| {
                    granted.contains(&device.uid)
                        && device.partner == context.partner
                        && context.sites.contains(&device.site)
                        && Means::of(device.kind) == means
                })
                .map(|device| device.id.clone())
                .collect();
            let truncated = device_ids.len() > MOST_DEVICES;
            device_ids.truncate(MOST_DEVICES);
            described.push(Described {
                pseudonym,
                device_ids,
                truncated,
                audit_pseudonym: resident.audit_pseudonym,
            });
        }
        // A token must not go out with a name that nobody can resolve.
        store.remember_pseudonyms(unremembered.clone()).await?;
        for (pseudonym, ..) in unremembered {
            self.parts.remembered.insert(pseudonym, ());
        }
        Ok(described)
    }

    /// Pairwise: the same for one partner, unrelated for another.
    fn pseudonym(&self, partner: Uuid, resident: Uuid) -> String {
        let key = &self.parts.store.keys().pseudonym;
        URL_SAFE_NO_PAD.encode(key.mac(&[partner.as_bytes(), resident.as_bytes()]))
    }
}

/// What a subject token uses up: its probe's evidence, which other tokens of
/// that probe share, else itself.
pub(super) fn use_key(jti: &str, evidence: Option<&str>) -> String {
    match evidence {
        Some(evidence) => format!("evidence:{evidence}"),
        None => format!("jti:{jti}"),
    }
}
