//! Rows of sites, buildings, entrances, devices and groups of devices.

use std::collections::{BTreeSet, HashSet};

use audit_log::Entry;
use mesh::clock::to_micros;
use propdev_proto::access::{
    BuildingRow, DeviceGroupRow, DeviceKind as KindMessage, DeviceRow, EntranceRow, SiteRow,
};
use uuid::Uuid;

use super::{App, Line, Work, column, columns};
use crate::{
    domain::{
        device::{DeviceKind, check_device_id, check_time_zone},
        external_id::{ExternalIds, Object},
        import::{At, Faults, Once},
        syntax::check_name,
    },
    error::Error,
    store::{DeviceAt, ObjectId, Owner},
};

/// Most devices of a group.
const MOST_DEVICES: usize = 1_000;

impl App {
    pub(super) async fn import_sites(
        &self,
        work: &mut Work,
        lines: Vec<Line<SiteRow>>,
    ) -> Result<(), Error> {
        let now = to_micros(work.now);
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let name = checked_name(row.name, at, &mut work.faults);
            let Some(name) = name else { continue };
            let id = Uuid::now_v7();
            work.new.site(id, name, now);
            let entry = Entry {
                site: Some(id),
                ..self.act("site_created")
            };
            self.register_place(work, Object::Site, id, &external_ids, entry)?;
        }
        Ok(())
    }

    pub(super) async fn import_buildings(
        &self,
        work: &mut Work,
        lines: Vec<Line<BuildingRow>>,
    ) -> Result<(), Error> {
        let now = to_micros(work.now);
        let texts = column(&lines, |row| row.site.as_str());
        let sites = self.import_references().sites(&work.system, texts).await?;
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let site = sites.get(&row.site, at, "site", &mut work.faults);
            let name = checked_name(row.name, at, &mut work.faults);
            let (Some((site, ())), Some(name)) = (site, name) else {
                continue;
            };
            let id = Uuid::now_v7();
            work.new.building(id, site, name, now);
            let entry = Entry {
                site: Some(site),
                subject: Some(id.to_string()),
                ..self.act("building_created")
            };
            self.register_place(work, Object::Building, id, &external_ids, entry)?;
        }
        Ok(())
    }

    pub(super) async fn import_entrances(
        &self,
        work: &mut Work,
        lines: Vec<Line<EntranceRow>>,
    ) -> Result<(), Error> {
        let now = to_micros(work.now);
        let texts = column(&lines, |row| row.building.as_str());
        let buildings = self
            .import_references()
            .buildings(&work.system, texts)
            .await?;
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let building = buildings.get(&row.building, at, "building", &mut work.faults);
            let name = checked_name(row.name, at, &mut work.faults);
            let (Some((building, site)), Some(name)) = (building, name) else {
                continue;
            };
            let id = Uuid::now_v7();
            work.new.entrance(id, building, name, now);
            let entry = Entry {
                site: Some(*site),
                subject: Some(id.to_string()),
                ..self.act("entrance_created")
            };
            self.register_place(work, Object::Entrance, id, &external_ids, entry)?;
        }
        Ok(())
    }

    pub(super) async fn import_devices(
        &self,
        work: &mut Work,
        lines: Vec<Line<DeviceRow>>,
    ) -> Result<(), Error> {
        let references = self.import_references();
        let texts = column(&lines, |row| row.site.as_str());
        let sites = references.sites(&work.system, texts).await?;
        let texts = column(&lines, |row| row.entrance.as_str());
        let entrances = references.entrances(&work.system, texts).await?;
        let names: Vec<(Uuid, String)> = lines
            .iter()
            .filter_map(|line| {
                let name = line.row.device.as_ref()?;
                let partner = Uuid::try_parse(&name.partner_id).ok()?;
                Some((partner, name.device_id.clone()))
            })
            .collect();
        let partners: HashSet<Uuid> = names.iter().map(|(partner, _)| *partner).collect();
        let partners: Vec<Uuid> = partners.into_iter().collect();
        let partners = self.parts.store.partners_among(partners).await?;
        let taken = self.parts.store.devices_named(&names).await?;
        let mut once = Once::default();
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let faults = &mut work.faults;
            let kind = device_kind(row.kind(), at, faults);
            let named = row.device.unwrap_or_default();
            let partner = known_partner(&named.partner_id, at, &partners, faults);
            let id = check_device_id(&named.device_id);
            let id = faults.take(at, "device_id", id).map(|()| named.device_id);
            if let (Some(partner), Some(id)) = (partner, &id) {
                let name = (partner, id.clone());
                if taken.contains_key(&name) {
                    faults.add(at, "device_id", "the partner has such a device already");
                }
                once.check(name, at, "device_id", faults);
            }
            let site = sites.get(&row.site, at, "site", faults);
            let entrance = entrances.get_optional(&row.entrance, at, "entrance", faults);
            if let (Some((site, ())), Some((_, entrance_site))) = (site, entrance)
                && site != *entrance_site
            {
                faults.add(at, "entrance", "is of another site");
            }
            let name = checked_name(row.name, at, faults);
            let zone = check_time_zone(&row.time_zone);
            let zone = faults.take(at, "time_zone", zone).map(|()| row.time_zone);
            let (Some(partner), Some(id), Some((site, ()))) = (partner, id, site) else {
                continue;
            };
            let (Some(kind), Some(name), Some(zone)) = (kind, name, zone) else {
                continue;
            };
            let device = DeviceAt {
                uid: Uuid::now_v7(),
                partner,
                id,
                site,
            };
            let entry = Entry {
                partner: Some(partner),
                site: Some(site),
                device: Some(device.id.clone()),
                ..self.act("device_created")
            };
            let uid = device.uid;
            let entrance = entrance.map(|(entrance, _)| entrance);
            let now = to_micros(work.now);
            work.new.device(device, entrance, kind, (name, zone), now);
            self.register_place(work, Object::Device, uid, &external_ids, entry)?;
        }
        Ok(())
    }

    pub(super) async fn import_device_groups(
        &self,
        work: &mut Work,
        lines: Vec<Line<DeviceGroupRow>>,
    ) -> Result<(), Error> {
        let references = self.import_references();
        let texts = column(&lines, |row| row.site.as_str());
        let sites = references.sites(&work.system, texts).await?;
        let texts = columns(&lines, |row| &row.devices);
        let devices = references.devices(&work.system, texts).await?;
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let faults = &mut work.faults;
            let site = sites.get(&row.site, at, "site", faults);
            let name = checked_name(row.name, at, faults);
            if row.devices.len() > MOST_DEVICES {
                faults.add(at, "devices", "are at most 1,000");
            }
            let mut members = BTreeSet::new();
            for text in &row.devices {
                let Some((uid, device)) = devices.get(text, at, "devices", faults) else {
                    continue;
                };
                if site.is_some_and(|(site, ())| site != device.site) {
                    faults.add(at, "devices", "names a device of another site");
                }
                members.insert(uid);
            }
            let (Some((site, ())), Some(name)) = (site, name) else {
                continue;
            };
            let id = Uuid::now_v7();
            let now = to_micros(work.now);
            work.new.device_group(id, site, name, members, now);
            let entry = Entry {
                site: Some(site),
                subject: Some(id.to_string()),
                ..self.act("device_group_created")
            };
            self.register_place(work, Object::DeviceGroup, id, &external_ids, entry)?;
        }
        Ok(())
    }

    /// Of what is nobody's.
    pub(super) fn register_place(
        &self,
        work: &mut Work,
        object: Object,
        id: Uuid,
        external_ids: &ExternalIds,
        entry: Entry,
    ) -> Result<(), Error> {
        let named = ObjectId { object, id };
        self.register_object(work, named, &Owner::Nobody, external_ids)?;
        self.parts.store.entry_of(&mut work.new, entry)
    }
}

fn checked_name(name: String, at: At, faults: &mut Faults) -> Option<String> {
    let checked = check_name("name", &name, 100);
    faults.take(at, "name", checked).map(|()| name)
}

pub(super) fn known_partner(
    text: &str,
    at: At,
    partners: &HashSet<Uuid>,
    faults: &mut Faults,
) -> Option<Uuid> {
    let Ok(id) = Uuid::try_parse(text) else {
        faults.add(at, "partner_id", "is not a UUID");
        return None;
    };
    if !partners.contains(&id) {
        faults.add(at, "partner_id", "names no partner");
        return None;
    }
    Some(id)
}

pub(super) fn device_kind(message: KindMessage, at: At, faults: &mut Faults) -> Option<DeviceKind> {
    match message {
        KindMessage::Door => Some(DeviceKind::Door),
        KindMessage::Barrier => Some(DeviceKind::Barrier),
        KindMessage::Unspecified => {
            faults.add(at, "kind", "is required");
            None
        }
    }
}
