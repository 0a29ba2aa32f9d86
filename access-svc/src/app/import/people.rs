//! Rows of households, residents, vehicles, keys and fobs.

use std::collections::{BTreeSet, HashMap, HashSet};

use audit_log::Entry;
use jiff::Timestamp;
use mesh::clock::to_micros;
use propdev_proto::access::{
    CredentialKind as KindMessage, CredentialRow, HouseholdRow, ResidentRow, VehicleRow,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{App, Line, Work, column, columns, places::known_partner};
use crate::{
    domain::{
        event::{CredentialKind, HoldingKind},
        external_id::{ExternalIds, Object},
        holding::Held,
        household::check_unit,
        import::{At, Spans},
        plate::Plate,
        syntax::{check_name, is_partner_id},
    },
    error::{Error, Noun},
    store::{ImportedPerson, ObjectId, Owner, ResidentKey, Sought, Used},
};

/// Most sites of a resident.
const MOST_SITES: usize = 100;

/// A holding that has passed every look.
struct Kept {
    at: At,
    external_ids: ExternalIds,
    resident: Uuid,
    who: Uuid,
    kind: HoldingKind,
    used: Option<Used>,
    sought: Sought,
    held: Held,
}

impl App {
    pub(super) async fn import_households(
        &self,
        work: &mut Work,
        lines: Vec<Line<HouseholdRow>>,
    ) -> Result<(), Error> {
        let references = self.import_references();
        let texts = column(&lines, |row| row.site.as_str());
        let sites = references.sites(&work.system, texts).await?;
        let texts = column(&lines, |row| row.building.as_str());
        let buildings = references.buildings(&work.system, texts).await?;
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let faults = &mut work.faults;
            let site = sites.get(&row.site, at, "site", faults);
            let building = buildings.get_optional(&row.building, at, "building", faults);
            if let (Some((site, ())), Some((_, building_site))) = (site, building)
                && site != *building_site
            {
                faults.add(at, "building", "is of another site");
            }
            let unit = faults.take(at, "unit", check_unit(&row.unit));
            let (Some((site, ())), Some(())) = (site, unit) else {
                continue;
            };
            let id = Uuid::now_v7();
            let building = building.map(|(building, _)| building);
            let now = to_micros(work.now);
            work.new.household(id, site, building, row.unit, now);
            let entry = Entry {
                site: Some(site),
                subject: Some(id.to_string()),
                ..self.act("household_created")
            };
            self.register_place(work, Object::Household, id, &external_ids, entry)?;
        }
        Ok(())
    }

    pub(super) async fn import_residents(
        &self,
        work: &mut Work,
        lines: Vec<Line<ResidentRow>>,
    ) -> Result<(), Error> {
        let references = self.import_references();
        let texts = columns(&lines, |row| &row.sites);
        let sites = references.sites(&work.system, texts).await?;
        let texts = columns(&lines, |row| &row.households);
        let households = references.households(&work.system, texts).await?;
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let faults = &mut work.faults;
            let name = Zeroizing::new(row.name);
            let checked = check_name("name", &name, 200);
            let checked = faults.take(at, "name", checked);
            let mut lives_at = BTreeSet::new();
            let mut of = BTreeSet::new();
            for text in &row.sites {
                let site = sites.get(text, at, "sites", faults);
                lives_at.extend(site.map(|(site, ())| site));
            }
            for text in &row.households {
                if let Some((household, site)) = households.get(text, at, "households", faults) {
                    of.insert(household);
                    lives_at.insert(*site);
                }
            }
            if row.sites.is_empty() && row.households.is_empty() {
                faults.add(at, "sites", "or households must name at least one");
            }
            if lives_at.len() > MOST_SITES {
                faults.add(at, "sites", "are more than 100");
            }
            if checked.is_none() {
                continue;
            }
            let person = ImportedPerson {
                id: Uuid::now_v7(),
                audit_pseudonym: Uuid::new_v4(),
                name,
                sites: lives_at,
                households: of,
            };
            let (id, who) = (person.id, person.audit_pseudonym);
            let joined = person.households.clone();
            let store = &self.parts.store;
            let key = store.resident_of(&mut work.new, person, to_micros(work.now))?;
            let named = ObjectId {
                object: Object::Resident,
                id,
            };
            self.register_object(work, named, &Owner::Resident(id, &key), &external_ids)?;
            let entry = Entry {
                who: Some(who),
                ..self.act("resident_created")
            };
            store.entry_of(&mut work.new, entry)?;
            for household in joined {
                let entry = Entry {
                    who: Some(who),
                    ..self.act("household_member_added")
                };
                store.joining_of(&mut work.new, entry, household, &key)?;
            }
        }
        Ok(())
    }

    pub(super) async fn import_vehicles(
        &self,
        work: &mut Work,
        lines: Vec<Line<VehicleRow>>,
    ) -> Result<(), Error> {
        let texts = column(&lines, |row| row.resident.as_str());
        let now = to_micros(work.now);
        let residents = self
            .import_references()
            .residents(&work.system, texts, now)
            .await?;
        let mut spans = Spans::default();
        let mut kept = Vec::with_capacity(lines.len());
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let resident = residents.get(&row.resident, at, "resident", &mut work.faults);
            let reading = row.plate.unwrap_or_default();
            let number = Zeroizing::new(reading.number);
            let plate = Plate::parse(&number, &reading.country)
                .map_err(|error| Error::InvalidPlate(error.to_string()));
            let plate = work.faults.take(at, "plate", plate);
            let held = held(work, at, row.held_from, row.held_to);
            let (Some((resident, who)), Some(plate), Some(held)) = (resident, plate, held) else {
                continue;
            };
            let twin = (resident, plate.lookup_bytes().to_vec());
            spans.check(twin, held, at, "plate", &mut work.faults);
            kept.push(Kept {
                at,
                external_ids,
                resident,
                who: *who,
                kind: HoldingKind::Vehicle,
                used: None,
                sought: Sought::plate(&plate),
                held,
            });
        }
        let detail = "the resident holds it for a part of that time already";
        self.check_unheld(work, &kept, "plate", detail).await?;
        self.keep_holdings(work, kept).await
    }

    pub(super) async fn import_credentials(
        &self,
        work: &mut Work,
        lines: Vec<Line<CredentialRow>>,
    ) -> Result<(), Error> {
        let references = self.import_references();
        let texts = column(&lines, |row| row.resident.as_str());
        let now = to_micros(work.now);
        let residents = references.residents(&work.system, texts, now).await?;
        let texts = column(&lines, |row| row.site.as_str());
        let sites = references.sites(&work.system, texts).await?;
        let partners: HashSet<Uuid> = lines
            .iter()
            .filter_map(|line| Uuid::try_parse(&line.row.partner_id).ok())
            .collect();
        let partners: Vec<Uuid> = partners.into_iter().collect();
        let partners = self.parts.store.partners_among(partners).await?;
        let mut spans = Spans::default();
        let mut kept = Vec::with_capacity(lines.len());
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let faults = &mut work.faults;
            let resident = residents.get(&row.resident, at, "resident", faults);
            let partner = known_partner(&row.partner_id, at, &partners, faults);
            let kind = match row.kind() {
                KindMessage::Key => Some(CredentialKind::Key),
                KindMessage::Fob => Some(CredentialKind::Fob),
                KindMessage::Unspecified => {
                    faults.add(at, "kind", "is required");
                    None
                }
            };
            let id = Zeroizing::new(row.credential_id);
            let fits = is_partner_id(&id);
            if !fits {
                let detail = "must be 1 to 128 of [A-Za-z0-9._:-]";
                faults.add(at, "credential_id", detail);
            }
            let site = sites.get(&row.site, at, "site", faults);
            let held = held(work, at, row.held_from, row.held_to);
            let (Some((resident, who)), Some(partner), Some(kind)) = (resident, partner, kind)
            else {
                continue;
            };
            let (Some((site, ())), Some(held), true) = (site, held, fits) else {
                continue;
            };
            let twin = (partner, kind.code(), id.to_string());
            spans.check(twin, held, at, "credential_id", &mut work.faults);
            kept.push(Kept {
                at,
                external_ids,
                resident,
                who: *who,
                kind: kind.into(),
                used: Some(Used { partner, site }),
                sought: Sought::credential(partner, kind, &id),
                held,
            });
        }
        let detail = "somebody holds it for a part of that time";
        self.check_unheld(work, &kept, "credential_id", detail)
            .await?;
        self.keep_holdings(work, kept).await
    }

    async fn check_unheld(
        &self,
        work: &mut Work,
        kept: &[Kept],
        field: &'static str,
        detail: &str,
    ) -> Result<(), Error> {
        let store = &self.parts.store;
        let alone: Vec<_> = kept
            .iter()
            .map(|one| store.held_alone(one.resident, &one.sought, one.held))
            .collect();
        let held = store.held_already(&alone).await?;
        for (one, held) in kept.iter().zip(held) {
            if held {
                work.faults.add(one.at, field, detail);
            }
        }
        Ok(())
    }

    /// Each under its holder's key.
    async fn keep_holdings(&self, work: &mut Work, kept: Vec<Kept>) -> Result<(), Error> {
        if !work.faults.is_empty() {
            // Nothing will be stored: there is no reason to unwrap keys.
            return Ok(());
        }
        let store = &self.parts.store;
        let holders: HashSet<Uuid> = kept.iter().map(|one| one.resident).collect();
        let holders: Vec<Uuid> = holders.into_iter().collect();
        let keys: HashMap<Uuid, ResidentKey> = store.resident_keys(holders).await?;
        for one in kept {
            let resident = one.resident;
            let key = keys.get(&resident).ok_or(Error::NotFound(Noun::Resident))?;
            let id = Uuid::now_v7();
            let what = (one.kind, one.used, &one.sought);
            store.holding_of(&mut work.new, id, (resident, key), what, one.held)?;
            let named = ObjectId {
                object: Object::Holding,
                id,
            };
            let owner = Owner::Resident(resident, key);
            self.register_object(work, named, &owner, &one.external_ids)?;
            let code = match one.kind {
                HoldingKind::Vehicle => "vehicle_added",
                HoldingKind::Key => "key_added",
                HoldingKind::Fob => "fob_added",
            };
            let entry = Entry {
                partner: one.used.map(|used| used.partner),
                who: Some(one.who),
                subject: Some(id.to_string()),
                ..self.act(code)
            };
            store.entry_of(&mut work.new, entry)?;
        }
        Ok(())
    }
}

fn held(
    work: &mut Work,
    at: At,
    from: Option<prost_types::Timestamp>,
    to: Option<prost_types::Timestamp>,
) -> Option<Held> {
    let given = from.is_some();
    let from: Option<Timestamp> = work.time(at, "held_from", from);
    let ends = to.is_some();
    let to = work.time(at, "held_to", to);
    if (given && from.is_none()) || (ends && to.is_none()) {
        return None;
    }
    let held = Held::new(from.unwrap_or(work.now), to);
    work.faults.take(at, "held_to", held)
}
