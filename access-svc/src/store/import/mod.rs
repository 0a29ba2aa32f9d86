//! Many new objects in one transaction, and what their rows refer to.

mod among;
mod insert;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub(crate) use among::DeviceAt;
use audit_log::Entry;
use jiff::Timestamp;
use mesh::clock::to_micros;
use sea_orm::ActiveValue::Set;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    NewExternalIds, ResidentKey, Sealer, Sought, Store, context,
    entity::{
        building, device, device_group, device_group_member, entrance, grant, holding, household,
        household_member, resident, resident_site, site, subscription,
    },
    holding::VALUE,
    log::NewEntry,
    resident::NAME,
};
use crate::{
    domain::{
        device::DeviceKind, entry::Link, etag::Version, event::HoldingKind, holding::Held,
        schedule::Window,
    },
    error::Error,
};

/// Rows of a statement; SQLite takes 32,766 values in one.
const ROWS: usize = 500;
/// Ids of a statement.
const IDS: usize = 10_000;

/// What is held once at a time, and its span.
pub(crate) struct Alone {
    hashes: Vec<Vec<u8>>,
    held: Held,
    /// Whose second one is refused; none where anybody's is.
    resident: Option<Uuid>,
}

/// Of which partner a key or a fob is, and where it is used.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) partner: Uuid,
    pub(crate) site: Uuid,
}

/// Whose right, and on what: one of each pair.
pub(crate) struct NewRight {
    pub(crate) resident: Option<Uuid>,
    pub(crate) household: Option<Uuid>,
    pub(crate) device: Option<Uuid>,
    pub(crate) group: Option<Uuid>,
    pub(crate) windows: Vec<Window>,
    pub(crate) ends_at: Option<Timestamp>,
}

pub(crate) struct ImportedPerson {
    pub(crate) id: Uuid,
    pub(crate) audit_pseudonym: Uuid,
    pub(crate) name: Zeroizing<String>,
    pub(crate) sites: BTreeSet<Uuid>,
    pub(crate) households: BTreeSet<Uuid>,
}

pub(crate) struct NewState {
    pub(crate) paid_until: Timestamp,
    pub(crate) grace_days: u32,
    pub(crate) suspended: bool,
}

/// Objects ready to be stored, and what must still be there when they are.
#[derive(Default)]
pub(crate) struct NewObjects {
    sites: Vec<site::ActiveModel>,
    buildings: Vec<building::ActiveModel>,
    entrances: Vec<entrance::ActiveModel>,
    devices: Vec<device::ActiveModel>,
    groups: Vec<device_group::ActiveModel>,
    group_members: Vec<device_group_member::ActiveModel>,
    households: Vec<household::ActiveModel>,
    residents: Vec<resident::ActiveModel>,
    resident_sites: Vec<resident_site::ActiveModel>,
    members: Vec<household_member::ActiveModel>,
    holdings: Vec<holding::ActiveModel>,
    grants: Vec<grant::ActiveModel>,
    subscriptions: Vec<subscription::ActiveModel>,
    external_ids: Vec<NewExternalIds>,
    entries: Vec<NewEntry>,
    alone: Vec<Alone>,
    needed: Needed,
}

#[derive(Default)]
struct Needed {
    sites: BTreeSet<Uuid>,
    buildings: BTreeSet<Uuid>,
    entrances: BTreeSet<Uuid>,
    devices: BTreeSet<Uuid>,
    groups: BTreeSet<Uuid>,
    households: BTreeSet<Uuid>,
    /// Households whose states of payment take the place of others.
    payers: BTreeSet<Uuid>,
    residents: BTreeSet<Uuid>,
    /// Residents who come to hold a vehicle.
    vehicle_holders: BTreeSet<Uuid>,
    partners: BTreeSet<Uuid>,
}

impl NewObjects {
    pub(crate) fn name(&mut self, external_ids: NewExternalIds) {
        self.external_ids.push(external_ids);
    }

    pub(crate) fn site(&mut self, id: Uuid, name: String, now: i64) {
        self.sites.push(site::ActiveModel {
            id: Set(id),
            name: Set(name),
            lockdown: Set(false),
            free_passage: Set(false),
            version: Set(Version::FIRST.0),
            created_at: Set(now),
        });
    }

    pub(crate) fn building(&mut self, id: Uuid, site: Uuid, name: String, now: i64) {
        self.needed.sites.insert(site);
        self.buildings.push(building::ActiveModel {
            id: Set(id),
            site_id: Set(site),
            name: Set(name),
            version: Set(Version::FIRST.0),
            created_at: Set(now),
        });
    }

    pub(crate) fn entrance(&mut self, id: Uuid, building: Uuid, name: String, now: i64) {
        self.needed.buildings.insert(building);
        self.entrances.push(entrance::ActiveModel {
            id: Set(id),
            building_id: Set(building),
            name: Set(name),
            version: Set(Version::FIRST.0),
            created_at: Set(now),
        });
    }

    pub(crate) fn device(
        &mut self,
        at: DeviceAt,
        entrance: Option<Uuid>,
        kind: DeviceKind,
        (name, time_zone): (String, String),
        now: i64,
    ) {
        self.needed.sites.insert(at.site);
        self.needed.entrances.extend(entrance);
        self.devices.push(device::ActiveModel {
            uid: Set(at.uid),
            partner_id: Set(at.partner),
            device_id: Set(at.id),
            site_id: Set(at.site),
            entrance_id: Set(entrance),
            kind: Set(kind.code()),
            name: Set(name),
            time_zone: Set(time_zone),
            disabled: Set(false),
            lockdown: Set(false),
            free_passage: Set(false),
            version: Set(Version::FIRST.0),
            created_at: Set(now),
        });
    }

    pub(crate) fn device_group(
        &mut self,
        id: Uuid,
        site: Uuid,
        name: String,
        devices: BTreeSet<Uuid>,
        now: i64,
    ) {
        self.needed.sites.insert(site);
        self.groups.push(device_group::ActiveModel {
            id: Set(id),
            site_id: Set(site),
            name: Set(name),
            version: Set(Version::FIRST.0),
            created_at: Set(now),
        });
        for device in devices {
            self.needed.devices.insert(device);
            self.group_members.push(device_group_member::ActiveModel {
                group_id: Set(id),
                device_uid: Set(device),
            });
        }
    }

    pub(crate) fn household(
        &mut self,
        id: Uuid,
        site: Uuid,
        building: Option<Uuid>,
        unit: String,
        now: i64,
    ) {
        self.needed.sites.insert(site);
        self.needed.buildings.extend(building);
        self.households.push(household::ActiveModel {
            id: Set(id),
            site_id: Set(site),
            building_id: Set(building),
            unit: Set(unit),
            version: Set(Version::FIRST.0),
            created_at: Set(now),
        });
    }

    pub(crate) fn subscription(
        &mut self,
        household: Uuid,
        (site, kind): (Uuid, DeviceKind),
        state: &NewState,
        now: i64,
    ) {
        self.needed.payers.insert(household);
        self.needed.sites.insert(site);
        self.subscriptions.push(subscription::ActiveModel {
            household_id: Set(household),
            site_id: Set(site),
            kind: Set(kind.code()),
            paid_until: Set(to_micros(state.paid_until)),
            grace_days: Set(i32::try_from(state.grace_days).unwrap_or(i32::MAX)),
            suspended: Set(state.suspended),
            as_of: Set(now),
            version: Set(Version::FIRST.0),
        });
    }
}

impl Store {
    pub(crate) fn entry_of(&self, new: &mut NewObjects, entry: Entry) -> Result<(), Error> {
        new.entries.push(self.new_entry(entry, None)?);
        Ok(())
    }

    /// Which household it is stands beside the entry, under the resident's key.
    pub(crate) fn joining_of(
        &self,
        new: &mut NewObjects,
        entry: Entry,
        household: Uuid,
        key: &ResidentKey,
    ) -> Result<(), Error> {
        let link = Link::Household(household);
        let entry = self.new_entry(entry, Some((&link, Sealer::Resident(key))))?;
        new.entries.push(entry);
        Ok(())
    }

    /// The key under which the resident's external ids are to be sealed.
    pub(crate) fn resident_of(
        &self,
        new: &mut NewObjects,
        person: ImportedPerson,
        now: i64,
    ) -> Result<ResidentKey, Error> {
        let id = person.id;
        let (key, wrapped) = self.keyring.new_data_key(id.as_bytes())?;
        new.residents.push(resident::ActiveModel {
            id: Set(id),
            // Random: it does not say when the resident was made.
            subject_id: Set(Uuid::new_v4()),
            audit_pseudonym: Set(person.audit_pseudonym),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            name_sealed: Set(key.seal(person.name.as_bytes(), &context(NAME, id))?),
            suspended: Set(false),
            erasing: Set(false),
            host_household_id: Set(None),
            guest_until: Set(None),
            galleries_pending: Set(false),
            version: Set(Version::FIRST.0),
            created_at: Set(now),
        });
        for site in person.sites {
            new.needed.sites.insert(site);
            new.resident_sites.push(resident_site::ActiveModel {
                resident_id: Set(id),
                site_id: Set(site),
            });
        }
        for household in person.households {
            new.needed.households.insert(household);
            new.members.push(household_member::ActiveModel {
                household_id: Set(household),
                resident_id: Set(id),
            });
        }
        Ok(ResidentKey(key))
    }

    pub(crate) fn holding_of(
        &self,
        new: &mut NewObjects,
        id: Uuid,
        (resident, key): (Uuid, &ResidentKey),
        (kind, used, sought): (HoldingKind, Option<Used>, &Sought),
        held: Held,
    ) -> Result<(), Error> {
        let epoch = self.keyring.current();
        new.needed.residents.insert(resident);
        match used {
            Some(used) => {
                new.needed.partners.insert(used.partner);
                new.needed.sites.insert(used.site);
            }
            None => {
                new.needed.vehicle_holders.insert(resident);
            }
        }
        new.alone.push(self.held_alone(resident, sought, held));
        new.holdings.push(holding::ActiveModel {
            id: Set(id),
            resident_id: Set(resident),
            kind: Set(kind.code()),
            site_id: Set(used.map(|used| used.site)),
            lookup: Set(sought.hash(&epoch)),
            lookup_epoch: Set(epoch.id),
            sealed: Set(key.0.seal(sought.bytes(), &context(VALUE, id))?),
            held_from: Set(to_micros(held.from)),
            held_to: Set(held.to.map(to_micros)),
            version: Set(Version::FIRST.0),
        });
        Ok(())
    }

    pub(crate) fn grant_of(
        &self,
        new: &mut NewObjects,
        id: Uuid,
        right: NewRight,
        now: i64,
    ) -> Result<(), Error> {
        new.needed.residents.extend(right.resident);
        new.needed.households.extend(right.household);
        new.needed.devices.extend(right.device);
        new.needed.groups.extend(right.group);
        let windows = serde_json::to_string(&right.windows);
        new.grants.push(grant::ActiveModel {
            id: Set(id),
            resident_id: Set(right.resident),
            household_id: Set(right.household),
            device_uid: Set(right.device),
            group_id: Set(right.group),
            windows: Set(windows.map_err(|_| Error::Corrupt("grant windows"))?),
            ends_at: Set(right.ends_at.map(to_micros)),
            version: Set(Version::FIRST.0),
            created_at: Set(now),
        });
        Ok(())
    }

    pub(crate) fn held_alone(&self, resident: Uuid, sought: &Sought, held: Held) -> Alone {
        let anybodys = sought.partner().is_some();
        Alone {
            hashes: sought.hashes(&self.keyring),
            held,
            resident: (!anybodys).then_some(resident),
        }
    }
}
