mod named;

use std::collections::HashSet;

use audit_log::Entry;
use futures::FutureExt;
use mesh::db::is_unique_violation;
pub(super) use named::{Devices, devices};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use super::{
    Change, ObjectId, Owner, Page, Store, entity, external_id, log,
    place::{self, Named},
};
use crate::{
    domain::{
        device::{Device, DeviceKind},
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
        passage::Passage,
    },
    error::{Error, Noun},
};

/// Which devices a list has; none is all.
#[derive(Clone, Copy, Default)]
pub(crate) struct DeviceFilter {
    pub(crate) partner: Option<Uuid>,
    pub(crate) site: Option<Uuid>,
    pub(crate) entrance: Option<Uuid>,
}

pub(crate) struct DeviceChange {
    pub(crate) common: Change,
    pub(crate) time_zone: Option<String>,
    /// None inside is of no entrance.
    pub(crate) entrance: Option<Option<Uuid>>,
}

impl From<entity::device::Model> for Device {
    fn from(row: entity::device::Model) -> Self {
        Self {
            uid: row.uid,
            partner: row.partner_id,
            id: row.device_id,
            site: row.site_id,
            entrance: row.entrance_id,
            kind: DeviceKind::from_code(row.kind),
            name: row.name,
            time_zone: row.time_zone,
            disabled: row.disabled,
            passage: Passage {
                lockdown: row.lockdown,
                free: row.free_passage,
            },
            version: Version(row.version),
        }
    }
}

impl Named for entity::device::Entity {
    const OBJECT: Object = Object::Device;
    const NOUN: Noun = Noun::Device;
    const ID: Self::Column = entity::device::Column::Uid;
    const NAME: Self::Column = entity::device::Column::Name;
    const VERSION: Self::Column = entity::device::Column::Version;

    fn facts(row: &Self::Model) -> (Uuid, &str, Version) {
        (row.uid, &row.name, Version(row.version))
    }
}

impl Store {
    pub(crate) async fn insert_device(
        &self,
        device: Device,
        external_ids: &ExternalIds,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let object = ObjectId {
            object: Object::Device,
            id: device.uid,
        };
        let external_ids = self.new_external_ids(object, &Owner::Nobody, external_ids)?;
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    place::parent::<entity::site::Entity>(txn, device.site).await?;
                    if let Some(entrance) = device.entrance {
                        check_entrance(txn, entrance, device.site).await?;
                    }
                    let inserted = entity::device::Entity::insert(entity::device::ActiveModel {
                        uid: Set(device.uid),
                        partner_id: Set(device.partner),
                        device_id: Set(device.id),
                        site_id: Set(device.site),
                        entrance_id: Set(device.entrance),
                        kind: Set(device.kind.code()),
                        name: Set(device.name),
                        time_zone: Set(device.time_zone),
                        disabled: Set(device.disabled),
                        lockdown: Set(device.passage.lockdown),
                        free_passage: Set(device.passage.free),
                        version: Set(device.version.0),
                        created_at: Set(now),
                    })
                    .exec_without_returning(txn)
                    .await;
                    match inserted {
                        Ok(_) => {}
                        Err(error) if is_unique_violation(&error) => {
                            return Err(Error::Exists(Noun::Device));
                        }
                        Err(error) => return Err(error.into()),
                    }
                    external_id::insert(txn, external_ids).await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn device_by_uid(&self, uid: Uuid) -> Result<Option<Device>, Error> {
        let row = entity::device::Entity::find_by_id(uid)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Device::from))
    }

    /// By their partners and those partners' own ids.
    pub(crate) async fn devices_by_id(
        &self,
        named: HashSet<(Uuid, String)>,
    ) -> Result<Vec<Device>, Error> {
        if named.is_empty() {
            return Ok(vec![]);
        }
        let partners: HashSet<Uuid> = named.iter().map(|(partner, _)| *partner).collect();
        let ids: HashSet<&str> = named.iter().map(|(_, id)| id.as_str()).collect();
        let rows = entity::device::Entity::find()
            .filter(entity::device::Column::PartnerId.is_in(partners))
            .filter(entity::device::Column::DeviceId.is_in(ids))
            .all(&self.db.read)
            .await?;
        Ok(rows
            .into_iter()
            .map(Device::from)
            // Another partner's may have the same id.
            .filter(|device| named.contains(&(device.partner, device.id.clone())))
            .collect())
    }

    pub(crate) async fn devices_by_uid(&self, uids: Vec<Uuid>) -> Result<Vec<Device>, Error> {
        let rows = entity::device::Entity::find()
            .filter(entity::device::Column::Uid.is_in(uids))
            .order_by_asc(entity::device::Column::DeviceId)
            .all(&self.db.read)
            .await?;
        Ok(rows.into_iter().map(Device::from).collect())
    }

    pub(crate) async fn list_devices(
        &self,
        filter: DeviceFilter,
        page: Page,
    ) -> Result<Vec<Device>, Error> {
        use entity::device::{Column, Entity};
        let mut query = Entity::find().order_by_asc(Column::Uid);
        for (column, wanted) in [
            (Column::PartnerId, filter.partner),
            (Column::SiteId, filter.site),
            (Column::EntranceId, filter.entrance),
        ] {
            if let Some(wanted) = wanted {
                query = query.filter(column.eq(wanted));
            }
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Uid.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(Device::from).collect())
    }

    /// Tells nothing where nothing changes.
    pub(crate) async fn update_device(
        &self,
        partner: Uuid,
        id: String,
        change: DeviceChange,
        telling: Entry,
    ) -> Result<Device, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::device::{Column, Entity};
                    let uid = uid_of(txn, partner, &id).await?;
                    let common = change.common;
                    let row = place::to_change::<Entity>(txn, uid, &common.if_match).await?;
                    let mut columns = Vec::new();
                    if let Some(zone) = change.time_zone.filter(|zone| *zone != row.time_zone) {
                        columns.push((Column::TimeZone, Expr::value(zone)));
                    }
                    let entrance = change.entrance.filter(|given| *given != row.entrance_id);
                    if let Some(given) = entrance {
                        if let Some(entrance) = given {
                            check_entrance(txn, entrance, row.site_id).await?;
                        }
                        columns.push((Column::EntranceId, Expr::value(given)));
                    }
                    let changed =
                        place::change::<Entity>(&store, txn, &row, common, columns, false).await?;
                    let Some(row) = changed else {
                        return Ok(Device::from(row));
                    };
                    let site = Some(row.site_id);
                    let telling = store.new_entry(Entry { site, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(Device::from(row))
                }
                .boxed()
            })
            .await
    }

    /// With its places in groups and the grants on it.
    pub(crate) async fn delete_device(
        &self,
        partner: Uuid,
        id: String,
        if_match: IfMatch,
        telling: Entry,
    ) -> Result<(), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::{device::Entity, device_group_member, grant};
                    let uid = uid_of(txn, partner, &id).await?;
                    // Groups before devices, as their own updates do, or two replicas lock each
                    // other out.
                    touch_groups(txn, uid).await?;
                    let row = place::to_delete::<Entity>(txn, uid, &if_match).await?;
                    device_group_member::Entity::delete_many()
                        .filter(device_group_member::Column::DeviceUid.eq(uid))
                        .exec(txn)
                        .await?;
                    place::end_grants(txn, grant::Column::DeviceUid, uid).await?;
                    place::remove::<Entity>(txn, uid).await?;
                    let site = Some(row.site_id);
                    let telling = store.new_entry(Entry { site, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Tells nothing where nothing changes.
    pub(crate) async fn set_device_state(
        &self,
        partner: Uuid,
        id: String,
        disabled: bool,
        telling: Entry,
    ) -> Result<Device, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::device::{Column, Entity};
                    let uid = uid_of(txn, partner, &id).await?;
                    let changed = Entity::update_many()
                        .col_expr(Column::Disabled, Expr::value(disabled))
                        .col_expr(Column::Version, place::next_version::<Entity>())
                        .filter(Column::Uid.eq(uid))
                        .filter(Column::Disabled.ne(disabled))
                        .exec(txn)
                        .await?;
                    let row = place::there::<Entity>(txn, uid).await?;
                    if changed.rows_affected > 0 {
                        let site = Some(row.site_id);
                        let telling = store.new_entry(Entry { site, ..telling }, None)?;
                        log::insert(txn, vec![telling]).await?;
                    }
                    Ok(Device::from(row))
                }
                .boxed()
            })
            .await
    }
}

/// Of a device by the partner's own id of it.
async fn uid_of(txn: &DatabaseTransaction, partner: Uuid, id: &str) -> Result<Uuid, Error> {
    use entity::device::{Column, Entity};
    let uid: Option<Uuid> = Entity::find()
        .select_only()
        .column(Column::Uid)
        .filter(Column::PartnerId.eq(partner))
        .filter(Column::DeviceId.eq(id))
        .into_tuple()
        .one(txn)
        .await?;
    uid.ok_or(Error::NotFound(Noun::Device))
}

/// A device and its entrance are of one site.
async fn check_entrance(
    txn: &DatabaseTransaction,
    entrance: Uuid,
    site: Uuid,
) -> Result<(), Error> {
    let entrance = place::parent::<entity::entrance::Entity>(txn, entrance).await?;
    let building = place::there::<entity::building::Entity>(txn, entrance.building_id).await?;
    if building.site_id != site {
        return Err(Error::InvalidField {
            field: "entrance_id",
            detail: "is of another site",
        });
    }
    Ok(())
}

/// The groups that hold the device will hold it no longer, and so have changed.
async fn touch_groups(txn: &DatabaseTransaction, uid: Uuid) -> Result<(), Error> {
    use entity::{device_group, device_group_member as member};
    let holding = member::Entity::find()
        .select_only()
        .column(member::Column::GroupId)
        .filter(member::Column::DeviceUid.eq(uid))
        .into_query();
    let groups: Vec<Uuid> = device_group::Entity::find()
        .select_only()
        .column(device_group::Column::Id)
        .filter(device_group::Column::Id.in_subquery(holding))
        .order_by_asc(device_group::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .into_tuple()
        .all(txn)
        .await?;
    device_group::Entity::update_many()
        .col_expr(
            device_group::Column::Version,
            place::next_version::<device_group::Entity>(),
        )
        .filter(device_group::Column::Id.is_in(groups))
        .exec(txn)
        .await?;
    Ok(())
}
