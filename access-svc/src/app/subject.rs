//! What a token may say of a person.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        device::{Device, DeviceKind, Means},
        plate::Plate,
    },
    error::{Error, Noun},
    store::{Probe, Resident, Seen},
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

    /// The evidence's id, and the subject unless nobody was recognised or the
    /// probe was seen before.
    pub(crate) async fn describe_face(
        &self,
        context: &Context,
        subject: Option<Uuid>,
        probe_mac: Vec<u8>,
    ) -> Result<(Option<Described>, String), Error> {
        let seen = self
            .parts
            .store
            .judge_probe(Probe {
                mac: probe_mac,
                client_id: context.client_id.clone(),
                at: self.parts.clock.now(),
            })
            .await?;
        let resident = match subject {
            Some(subject) => self.parts.store.resident_by_subject(subject).await?,
            None => None,
        };
        match (seen, resident) {
            (Seen::Usable(evidence), Some(resident)) => {
                let described = self.describe(context, &resident, Means::Face).await?;
                Ok((Some(described), evidence.to_string()))
            }
            (Seen::Replayed, _) => {
                tracing::info!(client_id = %context.client_id, "a probe was replayed");
                Ok((None, String::new()))
            }
            (Seen::Usable(_), None) => Ok((None, String::new())),
        }
    }

    /// Whether a subject token is neither used up nor of somebody erased or
    /// suspended.
    pub(crate) async fn token_is_good(
        &self,
        jti: &str,
        evidence: Option<&str>,
        pseudonym: &str,
        partner: Uuid,
    ) -> Result<bool, Error> {
        let store = &self.parts.store;
        if store.used_by(&use_key(jti, evidence)).await?.is_some() {
            return Ok(false);
        }
        let resident = store.resident_by_pseudonym(pseudonym, partner).await?;
        Ok(resident.is_some_and(|resident| !resident.suspended))
    }

    pub(crate) async fn describe_plate(
        &self,
        context: &Context,
        plate: &Plate,
    ) -> Result<Option<Described>, Error> {
        let sites = self.search_scope(context, None).await?;
        match self.holder_of(plate, &sites).await? {
            Some(resident) => Ok(Some(self.describe(context, &resident, Means::Plate).await?)),
            None => Ok(None),
        }
    }

    /// The resident of these sites who has held the vehicle longest.
    pub(super) async fn holder_of(
        &self,
        plate: &Plate,
        sites: &[Uuid],
    ) -> Result<Option<Resident>, Error> {
        let store = &self.parts.store;
        let holders = store.vehicle_holders(plate, self.parts.clock.now()).await?;
        if holders.is_empty() {
            return Ok(None);
        }
        let here = store.residents_at(holders.clone(), sites).await?;
        let mut residents = store.residents(here).await?;
        residents.sort_by_key(|r| holders.iter().position(|id| *id == r.id));
        Ok(residents.into_iter().next())
    }

    async fn describe(
        &self,
        context: &Context,
        resident: &Resident,
        means: Means,
    ) -> Result<Described, Error> {
        let store = &self.parts.store;
        let pseudonym = self.pseudonym(context.partner, resident.id);
        store
            .remember_pseudonym(pseudonym.clone(), context.partner, resident.id)
            .await?;
        let granted = store
            .granted_devices(resident.id, self.parts.clock.now())
            .await?;
        let mut device_ids: Vec<String> = store
            .devices_by_uid(granted)
            .await?
            .into_iter()
            .filter(|device| {
                device.partner == context.partner
                    && context.sites.contains(&device.site)
                    && Means::of(device.kind) == means
            })
            .map(|device| device.id)
            .collect();
        device_ids.dedup();
        let truncated = device_ids.len() > MOST_DEVICES;
        device_ids.truncate(MOST_DEVICES);
        Ok(Described {
            pseudonym,
            device_ids,
            truncated,
            audit_pseudonym: resident.audit_pseudonym,
        })
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
