//! Events at the partner's: openings by key and fob, and confirmations.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use mesh::clock::to_micros;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        device::DeviceKind,
        event::{CommandResult, CredentialKind, CredentialOpening, Event},
        signature::{self, Signed},
        token::{Bearer, Presented},
    },
    error::Error,
    store::{Holding, Page, Resident, ResidentKey, Sealer, Sought},
};

const SCOPE: &str = "events:write";

/// How many of a call's events were new.
pub(crate) struct Recorded {
    pub(crate) accepted: u32,
    pub(crate) duplicates: u32,
}

impl Recorded {
    fn of(total: usize, new: u64) -> Self {
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        let accepted = u32::try_from(new).unwrap_or(u32::MAX).min(total);
        Self {
            accepted,
            duplicates: total - accepted,
        }
    }
}

impl App {
    /// Whether this token may tell events, and tells these; asked before a
    /// call's faults are told.
    pub(crate) async fn event_writer(
        &self,
        presented: &Presented,
        signed: Option<&Signed>,
    ) -> Result<Bearer, Error> {
        let bearer = self.admit(presented).await?;
        if bearer.subject.is_some() || !bearer.has_scope(SCOPE) {
            return Err(Error::InsufficientScope);
        }
        self.check_in_use().await?;
        let now = self.parts.clock.now();
        if !signature::is_good(&bearer.signing_secrets, signed, now) {
            tracing::info!(client_id = %bearer.client_id, signed = signed.is_some(), "a webhook's signature was refused");
            return Err(Error::InvalidSignature);
        }
        Ok(bearer)
    }

    pub(crate) async fn record_credential_openings(
        &self,
        bearer: &Bearer,
        kind: CredentialKind,
        told: Vec<CredentialOpening>,
    ) -> Result<Recorded, Error> {
        let store = &self.parts.store;
        let now = self.parts.clock.now();
        let known_devices = self.known_devices(bearer, kind, &told).await?;
        let sought: Vec<Sought> = told
            .iter()
            .map(|event| Sought::credential(bearer.partner, kind, &event.credential_id))
            .collect();
        let holdings = store.credential_holdings(&sought, &bearer.sites).await?;
        let holders = self.holders(&holdings).await?;
        let month = store.month_key(now).await?;

        let mut events = Vec::with_capacity(told.len());
        for (event, held) in told.iter().zip(&holdings) {
            let holder = holder_at(held, event.opened_at).and_then(|id| holders.get(&id));
            let stored = Event {
                id: Uuid::now_v7(),
                kind,
                partner: bearer.partner,
                device_known: event
                    .device_id
                    .as_ref()
                    .is_some_and(|id| known_devices.contains(id)),
                device_id: event.device_id.clone(),
                holder: holder.map(|(resident, _)| resident.audit_pseudonym),
                opened_at: event.opened_at,
                received_at: now,
            };
            let sealer = holder.map_or(Sealer::Month(&month), |(_, key)| Sealer::Resident(key));
            let holder = holder.map(|(resident, _)| resident.id);
            events.push(store.new_event(stored, event, holder, sealer)?);
        }
        let total = events.len();
        Ok(Recorded::of(total, store.insert_events(events).await?))
    }

    /// Ids among those told that are devices of this client and of the kind
    /// that such a credential opens.
    async fn known_devices(
        &self,
        bearer: &Bearer,
        kind: CredentialKind,
        told: &[CredentialOpening],
    ) -> Result<HashSet<String>, Error> {
        let wanted = match kind {
            CredentialKind::Key => DeviceKind::Door,
            CredentialKind::Fob => DeviceKind::Barrier,
        };
        let ids: HashSet<String> = told.iter().filter_map(|e| e.device_id.clone()).collect();
        let devices = self
            .parts
            .store
            .devices_by_id(bearer.partner, ids.into_iter().collect())
            .await?;
        Ok(devices
            .into_iter()
            .filter(|device| device.kind == wanted && bearer.sites.contains(&device.site))
            .map(|device| device.id)
            .collect())
    }

    async fn holders(
        &self,
        holdings: &[Vec<Holding>],
    ) -> Result<HashMap<Uuid, (Resident, ResidentKey)>, Error> {
        let ids: HashSet<Uuid> = holdings.iter().flatten().map(|h| h.resident).collect();
        let residents = self
            .parts
            .store
            .residents(ids.into_iter().collect())
            .await?;
        let mut holders = HashMap::with_capacity(residents.len());
        for resident in residents {
            if let Some(key) = self.parts.store.resident_key(resident.id).await? {
                holders.insert(resident.id, (resident, key));
            }
        }
        Ok(holders)
    }

    pub(crate) async fn record_command_results(
        &self,
        bearer: &Bearer,
        results: Vec<CommandResult>,
    ) -> Result<Recorded, Error> {
        let total = results.len();
        let new = self
            .parts
            .store
            .confirm_commands(bearer.partner, results, to_micros(self.parts.clock.now()))
            .await?;
        Ok(Recorded::of(total, new))
    }

    pub(crate) async fn list_events(
        &self,
        partner: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Event>, Error> {
        self.parts.store.list_events(partner, page).await
    }
}

/// Who held it then: an event that comes late finds the holder of its time.
fn holder_at(holdings: &[Holding], at: Timestamp) -> Option<Uuid> {
    holdings
        .iter()
        .find(|holding| holding.held.is_at(at))
        .map(|holding| holding.resident)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{etag::Version, event::HoldingKind, holding::Held};

    #[test]
    fn a_late_event_finds_the_holder_of_its_time() {
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let holding = |resident: u128, from: &str, to: Option<&str>| Holding {
            id: Uuid::nil(),
            resident: Uuid::from_u128(resident),
            kind: HoldingKind::Key,
            held: Held {
                from: at(from),
                to: to.map(at),
            },
            version: Version::FIRST,
        };
        let holdings = [
            holding(1, "2026-01-01T00:00:00Z", Some("2026-06-01T00:00:00Z")),
            holding(2, "2026-06-01T00:00:00Z", None),
        ];
        let holder = |time| holder_at(&holdings, at(time));
        assert_eq!(holder("2026-05-31T23:59:59Z"), Some(Uuid::from_u128(1)));
        assert_eq!(holder("2026-06-01T00:00:00Z"), Some(Uuid::from_u128(2)));
        assert_eq!(holder("2025-12-31T23:59:59Z"), None);
    }
}
