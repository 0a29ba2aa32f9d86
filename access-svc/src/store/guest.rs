mod end;
#[cfg(test)]
mod tests;

use audit_log::Entry;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::to_micros;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Select, sea_query::LockType,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    NewHolding, Page, Resident, Sealer, Store, entity, holding, log,
    resident::{add_sites, residents_row, there},
};
use crate::{
    domain::{
        entry::Link, external_id::ExternalIds, holding::Held, plate::Plate, schedule::Window,
    },
    error::{Error, Noun},
};

pub(crate) struct Guest {
    pub(crate) resident: Resident,
    /// Where it was asked for.
    pub(crate) name: Option<Zeroizing<String>>,
}

/// A device by its partner's id of it, or a group.
pub(crate) enum Target {
    Device { partner: Uuid, id: String },
    Group(Uuid),
}

/// What a guest may open.
pub(crate) struct GuestRight {
    pub(crate) grant: Uuid,
    pub(crate) target: Target,
    pub(crate) telling: Entry,
}

/// Somebody who is about to be a guest; the resident has a host and an end.
pub(crate) struct NewGuest {
    pub(crate) resident: Resident,
    pub(crate) household: Uuid,
    pub(crate) ends_at: Timestamp,
    pub(crate) name: Zeroizing<String>,
    pub(crate) vehicle: Option<(Plate, Entry)>,
    pub(crate) rights: Vec<GuestRight>,
    pub(crate) windows: Vec<Window>,
}

impl Store {
    /// With rights and vehicle.
    pub(crate) async fn insert_guest(
        &self,
        new: NewGuest,
        now: Timestamp,
        telling: Entry,
    ) -> Result<(), Error> {
        let (row, key) = residents_row(self, &new.resident, &new.name, to_micros(now))?;
        let windows =
            serde_json::to_string(&new.windows).map_err(|_| Error::Corrupt("grant windows"))?;
        let host = Link::Household(new.household);
        let host = Some((&host, Sealer::Resident(&key)));
        let mut tellings = vec![self.new_entry(telling, host)?];
        let mut vehicle = None;
        if let Some((plate, telling)) = new.vehicle {
            let held = Held::new(now, Some(new.ends_at))?;
            let (owner, plate) = (new.resident.id, NewHolding::Vehicle(plate));
            let row = self.new_holding(owner, &key, &plate, held, &ExternalIds::default())?;
            let telling = Entry {
                subject: Some(row.row.id.to_string()),
                ..telling
            };
            tellings.push(self.new_entry(telling, None)?);
            vehicle = Some(row);
        }
        let store = self.clone();
        let (id, household, rights) = (new.resident.id, new.household, new.rights);
        let ends_at = to_micros(new.ends_at);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let host = entity::household::Entity::find_by_id(household)
                        .lock(LockType::KeyShare)
                        .one(txn)
                        .await?
                        .ok_or(Error::NotFound(Noun::Household))?;
                    entity::resident::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await?;
                    add_sites(txn, id, vec![host.site_id]).await?;
                    if let Some(vehicle) = vehicle {
                        holding::insert(txn, vehicle).await?;
                    }
                    let mut grants = Vec::with_capacity(rights.len());
                    for right in rights {
                        let target = resolve(txn, right.target, host.site_id).await?;
                        grants.push(entity::grant::ActiveModel {
                            id: Set(right.grant),
                            resident_id: Set(Some(id)),
                            household_id: Set(None),
                            device_uid: Set(target.device_uid),
                            group_id: Set(target.group),
                            windows: Set(windows.clone()),
                            ends_at: Set(Some(ends_at)),
                            version: Set(1),
                            created_at: Set(to_micros(now)),
                        });
                        let telling = Entry {
                            site: Some(host.site_id),
                            partner: target.partner,
                            device: target.device_id,
                            ..right.telling
                        };
                        tellings.push(store.new_entry(telling, None)?);
                    }
                    entity::grant::Entity::insert_many(grants)
                        .exec_without_returning(txn)
                        .await?;
                    log::insert(txn, tellings).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// None for one who is absent, or whose end has passed.
    pub(crate) async fn guest(
        &self,
        id: Uuid,
        now: Timestamp,
        with_name: bool,
    ) -> Result<Option<Guest>, Error> {
        let row = guests(now)
            .filter(entity::resident::Column::Id.eq(id))
            .one(&self.db.read)
            .await?;
        row.map(|row| self.told_guest(&row, with_name)).transpose()
    }

    pub(crate) async fn list_guests(
        &self,
        household: Option<Uuid>,
        page: Page,
        now: Timestamp,
        with_names: bool,
    ) -> Result<Vec<Guest>, Error> {
        use entity::resident::Column;
        let mut query = guests(now).order_by_asc(Column::Id);
        if let Some(household) = household {
            query = query.filter(Column::HostHouseholdId.eq(household));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        rows.iter()
            .map(|row| self.told_guest(row, with_names))
            .collect()
    }

    fn told_guest(&self, row: &entity::resident::Model, with_name: bool) -> Result<Guest, Error> {
        Ok(Guest {
            resident: Resident::from(row),
            name: with_name.then(|| self.open_name(row)).transpose()?,
        })
    }
}

/// Those whose end lies ahead.
fn guests(now: Timestamp) -> Select<entity::resident::Entity> {
    use entity::resident::Column;
    there()
        .filter(Column::HostHouseholdId.is_not_null())
        .filter(Column::GuestUntil.gt(to_micros(now)))
}

/// What a right is on, as rows and the audit log name it.
#[derive(Default)]
struct Resolved {
    device_uid: Option<Uuid>,
    group: Option<Uuid>,
    partner: Option<Uuid>,
    device_id: Option<String>,
}

/// Until the transaction ends it stays.
async fn resolve(txn: &DatabaseTransaction, target: Target, site: Uuid) -> Result<Resolved, Error> {
    let (resolved, of) = match target {
        Target::Device { partner, id } => device(txn, partner, id).await?,
        Target::Group(id) => {
            let row = entity::device_group::Entity::find_by_id(id)
                .lock(LockType::KeyShare)
                .one(txn)
                .await?
                .ok_or(Error::NotFound(Noun::DeviceGroup))?;
            let resolved = Resolved {
                group: Some(row.id),
                ..Resolved::default()
            };
            (resolved, row.site_id)
        }
    };
    if of != site {
        return Err(Error::InvalidField {
            field: "targets",
            detail: "are of another site",
        });
    }
    Ok(resolved)
}

async fn device(
    txn: &impl ConnectionTrait,
    partner: Uuid,
    id: String,
) -> Result<(Resolved, Uuid), Error> {
    use entity::device::{Column, Entity};
    let row = Entity::find()
        .filter(Column::PartnerId.eq(partner))
        .filter(Column::DeviceId.eq(id))
        .lock(LockType::KeyShare)
        .one(txn)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    let resolved = Resolved {
        device_uid: Some(row.uid),
        partner: Some(row.partner_id),
        device_id: Some(row.device_id),
        group: None,
    };
    Ok((resolved, row.site_id))
}
