//! Rows of grants and of what is paid for.

use std::collections::{HashMap, HashSet};

use audit_log::Entry;
use mesh::clock::to_micros;
use propdev_proto::access::{GrantRow, SubscriptionRow, WeeklyWindow};
use uuid::Uuid;

use super::{App, Line, Work, column, places::device_kind};
use crate::{
    domain::{
        external_id::{ExternalIds, Object},
        import::{At, Faults, Once},
        schedule::Window,
    },
    error::{Error, Noun},
    store::{NewRight, NewState, ObjectId, Owner, ResidentKey},
};

/// A grant that has passed every look.
struct Granted {
    external_ids: ExternalIds,
    right: NewRight,
    entry: Entry,
}

impl App {
    pub(super) async fn import_grants(
        &self,
        work: &mut Work,
        lines: Vec<Line<GrantRow>>,
    ) -> Result<(), Error> {
        let references = self.import_references();
        let texts = column(&lines, |row| row.resident.as_str());
        let now = to_micros(work.now);
        let residents = references.residents(&work.system, texts, now).await?;
        let texts = column(&lines, |row| row.household.as_str());
        let households = references.households(&work.system, texts).await?;
        let texts = column(&lines, |row| row.device.as_str());
        let devices = references.devices(&work.system, texts).await?;
        let texts = column(&lines, |row| row.device_group.as_str());
        let groups = references.device_groups(&work.system, texts).await?;
        let mut granted = Vec::with_capacity(lines.len());
        for Line {
            at,
            external_ids,
            row,
        } in lines
        {
            let faults = &mut work.faults;
            if row.resident.is_empty() == row.household.is_empty() {
                faults.add(at, "resident", "or household is required, and one alone");
            }
            if row.device.is_empty() == row.device_group.is_empty() {
                faults.add(at, "device", "or device_group is required, and one alone");
            }
            let resident = residents.get_optional(&row.resident, at, "resident", faults);
            let household = households.get_optional(&row.household, at, "household", faults);
            let device = devices.get_optional(&row.device, at, "device", faults);
            let group = groups.get_optional(&row.device_group, at, "device_group", faults);
            let windows = windows(&row.windows, at, faults);
            let ends_at = work.time(at, "ends_at", row.ends_at);
            let device_at = device.map(|(_, at)| at);
            let entry = Entry {
                partner: device_at.map(|device| device.partner),
                site: device_at
                    .map(|device| device.site)
                    .or(group.map(|(_, site)| *site)),
                device: device_at.map(|device| device.id.clone()),
                who: resident.map(|(_, who)| *who),
                ..self.act("grant_created")
            };
            granted.push(Granted {
                external_ids,
                right: NewRight {
                    resident: resident.map(|(id, _)| id),
                    household: household.map(|(id, _)| id),
                    device: device.map(|(uid, _)| uid),
                    group: group.map(|(id, _)| id),
                    windows,
                    ends_at,
                },
                entry,
            });
        }
        self.keep_grants(work, granted).await
    }

    /// A resident's external ids are under the resident's key.
    async fn keep_grants(&self, work: &mut Work, granted: Vec<Granted>) -> Result<(), Error> {
        if !work.faults.is_empty() {
            return Ok(());
        }
        let store = &self.parts.store;
        let holders: HashSet<Uuid> = granted
            .iter()
            .filter(|one| !one.external_ids.is_empty())
            .filter_map(|one| one.right.resident)
            .collect();
        let holders: Vec<Uuid> = holders.into_iter().collect();
        let keys: HashMap<Uuid, ResidentKey> = store.resident_keys(holders).await?;
        for one in granted {
            let id = Uuid::now_v7();
            let owner = match one.right.resident {
                Some(resident) if !one.external_ids.is_empty() => {
                    let key = keys.get(&resident);
                    Owner::Resident(resident, key.ok_or(Error::NotFound(Noun::Resident))?)
                }
                _ => Owner::Nobody,
            };
            let named = ObjectId {
                object: Object::Grant,
                id,
            };
            self.register_object(work, named, &owner, &one.external_ids)?;
            store.grant_of(&mut work.new, id, one.right, to_micros(work.now))?;
            let entry = Entry {
                subject: Some(id.to_string()),
                ..one.entry
            };
            store.entry_of(&mut work.new, entry)?;
        }
        Ok(())
    }

    pub(super) async fn import_subscriptions(
        &self,
        work: &mut Work,
        lines: Vec<Line<SubscriptionRow>>,
    ) -> Result<(), Error> {
        let references = self.import_references();
        let texts = column(&lines, |row| row.household.as_str());
        let households = references.households(&work.system, texts).await?;
        let texts = column(&lines, |row| row.site.as_str());
        let sites = references.sites(&work.system, texts).await?;
        let mut once = Once::default();
        for Line { at, row, .. } in lines {
            let faults = &mut work.faults;
            let household = households.get(&row.household, at, "household", faults);
            let site = sites.get_optional(&row.site, at, "site", faults);
            let kind = device_kind(row.kind(), at, faults);
            if row.grace_days > 365 {
                faults.add(at, "grace_days", "must be 0 to 365");
            }
            if row.paid_until.is_none() {
                faults.add(at, "paid_until", "is required");
            }
            let paid_until = work.time(at, "paid_until", row.paid_until);
            let (Some((household, own_site)), Some(kind)) = (household, kind) else {
                continue;
            };
            let site = site.map_or(*own_site, |(site, ())| site);
            let faults = &mut work.faults;
            once.check((household, site, kind), at, "household", faults);
            let Some(paid_until) = paid_until else {
                continue;
            };
            let state = NewState {
                paid_until,
                grace_days: row.grace_days,
                suspended: row.suspended,
            };
            let now = to_micros(work.now);
            work.new.subscription(household, (site, kind), &state, now);
            let entry = Entry {
                site: Some(site),
                subject: Some(format!("{household} {}", kind.scope())),
                ..self.act("payment_set")
            };
            self.parts.store.entry_of(&mut work.new, entry)?;
        }
        Ok(())
    }
}

fn windows(messages: &[WeeklyWindow], at: At, faults: &mut Faults) -> Vec<Window> {
    let read = |message: &WeeklyWindow| {
        let days = message.weekdays.iter().map(|day| u8::try_from(*day).ok());
        Some(Window {
            weekdays: days.collect::<Option<_>>()?,
            from: u16::try_from(message.from_minute).ok()?,
            to: u16::try_from(message.to_minute).ok()?,
        })
    };
    let mut windows = Vec::with_capacity(messages.len());
    for message in messages {
        let Some(window) = read(message) else {
            faults.add(at, "windows", "holds a number that is out of range");
            continue;
        };
        let checked = window.validate();
        if faults.take(at, "windows", checked).is_some() {
            windows.push(window);
        }
    }
    windows
}
