//! Whether it opens, and what the audit log says of it.

use jiff::SignedDuration;
use uuid::Uuid;

use super::recognise::Recognised;
use crate::{
    app::App,
    domain::{
        decision::{self, Facts, ResidentFacts, Unrecognised},
        device::{Device, Means},
        entry::{self, Link},
        opening::{Command, CommandStatus, Opening},
        token::Bearer,
    },
    error::{Error, Noun},
    store::{NewEntry, Resident, Sealer},
};

impl App {
    /// What the audit log says of a decision; a plate that was read goes beside
    /// it, under its holder's key or, of a stranger's, the month's.
    pub(super) async fn telling(
        &self,
        opening: &Opening,
        recognised: &Recognised,
    ) -> Result<NewEntry, Error> {
        let store = &self.parts.store;
        let entry = entry::decision(opening);
        let Some(plate) = &recognised.plate else {
            return store.new_entry(entry, None);
        };
        let link = Link::plate(plate);
        if recognised.resident.is_err() {
            let key = store.month_key(opening.decided_at).await?;
            return store.new_entry(entry, Some((&link, Sealer::Month(&key))));
        }
        // The key that the holder was read with: whoever is erased meanwhile takes it along.
        let sealer = recognised.key.as_ref().map(Sealer::Resident);
        store.new_entry(entry, sealer.map(|sealer| (&link, sealer)))
    }

    pub(super) async fn decide(
        &self,
        bearer: &Bearer,
        device: &Device,
        resident: Result<&Resident, Unrecognised>,
    ) -> Result<Opening, Error> {
        // Only now: an order given while the face or the plate was looked up counts.
        let known = self.parts.store.known(device, resident.ok()).await?;
        let known = known.ok_or(Error::NotFound(Noun::Device))?;
        let device = &known.device;
        let facts = Facts {
            site: known.site,
            device: device.passage,
            device_disabled: device.disabled,
            zone: device.zone(),
            resident: resident.map(|resident| ResidentFacts {
                suspended: resident.suspended,
                grants: known.grants,
                subscriptions: known.subscriptions,
            }),
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
}
