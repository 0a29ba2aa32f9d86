use std::collections::{BTreeSet, HashMap};

use audit_log::Entry;
use futures::FutureExt;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, sea_query::LockType,
};
use uuid::Uuid;

use super::{
    Change, ObjectId, Owner, Page, Store,
    entity::{self, device_group_member as member},
    external_id, log,
    place::{self, Named},
};
use crate::{
    domain::{
        device::DeviceName,
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
    },
    error::{Error, Noun},
};

#[derive(Clone, Debug)]
pub(crate) struct DeviceGroup {
    pub(crate) id: Uuid,
    pub(crate) site: Uuid,
    pub(crate) name: String,
    pub(crate) version: Version,
}

pub(crate) struct DeviceGroupChange {
    pub(crate) common: Change,
    pub(crate) devices: Option<BTreeSet<DeviceName>>,
}

impl From<entity::device_group::Model> for DeviceGroup {
    fn from(row: entity::device_group::Model) -> Self {
        Self {
            id: row.id,
            site: row.site_id,
            name: row.name,
            version: Version(row.version),
        }
    }
}

impl Named for entity::device_group::Entity {
    const OBJECT: Object = Object::DeviceGroup;
    const NOUN: Noun = Noun::DeviceGroup;
    const ID: Self::Column = entity::device_group::Column::Id;
    const NAME: Self::Column = entity::device_group::Column::Name;
    const VERSION: Self::Column = entity::device_group::Column::Version;

    fn facts(row: &Self::Model) -> (Uuid, &str, Version) {
        (row.id, &row.name, Version(row.version))
    }
}

impl Store {
    pub(crate) async fn insert_device_group(
        &self,
        group: DeviceGroup,
        devices: BTreeSet<DeviceName>,
        external_ids: &ExternalIds,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let object = ObjectId {
            object: Object::DeviceGroup,
            id: group.id,
        };
        let external_ids = self.new_external_ids(object, &Owner::Nobody, external_ids)?;
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    place::parent::<entity::site::Entity>(txn, group.site).await?;
                    let devices = devices_of(txn, group.site, &devices).await?;
                    entity::device_group::Entity::insert(entity::device_group::ActiveModel {
                        id: Set(group.id),
                        site_id: Set(group.site),
                        name: Set(group.name),
                        version: Set(group.version.0),
                        created_at: Set(now),
                    })
                    .exec_without_returning(txn)
                    .await?;
                    insert_members(txn, group.id, devices).await?;
                    external_id::insert(txn, external_ids).await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn device_group(&self, id: Uuid) -> Result<Option<DeviceGroup>, Error> {
        let row = entity::device_group::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        Ok(row.map(DeviceGroup::from))
    }

    pub(crate) async fn list_device_groups(
        &self,
        site: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<DeviceGroup>, Error> {
        use entity::device_group::{Column, Entity};
        let below = site.map(|site| (Column::SiteId, site));
        let rows = place::list::<Entity>(self, below, page).await?;
        Ok(rows.into_iter().map(DeviceGroup::from).collect())
    }

    /// How many devices each of these groups has, where it has any.
    pub(crate) async fn group_sizes(&self, groups: Vec<Uuid>) -> Result<HashMap<Uuid, i64>, Error> {
        let sizes: Vec<(Uuid, i64)> = member::Entity::find()
            .select_only()
            .column(member::Column::GroupId)
            .column_as(member::Column::DeviceUid.count(), "devices")
            .filter(member::Column::GroupId.is_in(groups))
            .group_by(member::Column::GroupId)
            .into_tuple()
            .all(&self.db.read)
            .await?;
        Ok(sizes.into_iter().collect())
    }

    /// The devices of each of these groups that has any, by the partners' ids of them.
    pub(crate) async fn group_devices(
        &self,
        groups: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Vec<DeviceName>>, Error> {
        use entity::device::{Column, Entity};
        let members = member::Entity::find().filter(member::Column::GroupId.is_in(groups));
        let uids = members
            .clone()
            .select_only()
            .column(member::Column::DeviceUid)
            .into_query();
        let mut groups_of: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for row in members.all(&self.db.read).await? {
            groups_of
                .entry(row.device_uid)
                .or_default()
                .push(row.group_id);
        }
        let devices: Vec<(Uuid, Uuid, String)> = Entity::find()
            .select_only()
            .columns([Column::Uid, Column::PartnerId, Column::DeviceId])
            .filter(Column::Uid.in_subquery(uids))
            .order_by_asc(Column::DeviceId)
            .order_by_asc(Column::PartnerId)
            .into_tuple()
            .all(&self.db.read)
            .await?;
        let mut devices_of: HashMap<Uuid, Vec<DeviceName>> = HashMap::new();
        for (uid, partner, id) in devices {
            for group in groups_of.remove(&uid).unwrap_or_default() {
                let id = id.clone();
                let devices = devices_of.entry(group).or_default();
                devices.push(DeviceName { partner, id });
            }
        }
        Ok(devices_of)
    }

    /// Tells nothing where nothing changes.
    pub(crate) async fn update_device_group(
        &self,
        id: Uuid,
        change: DeviceGroupChange,
        telling: Entry,
    ) -> Result<DeviceGroup, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::device_group::Entity;
                    let common = change.common;
                    let row = place::to_change::<Entity>(txn, id, &common.if_match).await?;
                    let replaced = match change.devices {
                        Some(devices) => {
                            let devices = devices_of(txn, row.site_id, &devices).await?;
                            replace_members(txn, id, devices).await?
                        }
                        None => false,
                    };
                    let changed =
                        place::change::<Entity>(&store, txn, &row, common, Vec::new(), replaced)
                            .await?;
                    let Some(row) = changed else {
                        return Ok(DeviceGroup::from(row));
                    };
                    let site = Some(row.site_id);
                    let telling = store.new_entry(Entry { site, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(DeviceGroup::from(row))
                }
                .boxed()
            })
            .await
    }

    /// With the grants on it.
    pub(crate) async fn delete_device_group(
        &self,
        id: Uuid,
        if_match: IfMatch,
        telling: Entry,
    ) -> Result<(), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::{device_group::Entity, grant::Column::GroupId};
                    let row = place::to_delete::<Entity>(txn, id, &if_match).await?;
                    replace_members(txn, id, BTreeSet::new()).await?;
                    place::end_grants(txn, GroupId, id).await?;
                    place::remove::<Entity>(txn, id).await?;
                    let site = Some(row.site_id);
                    let telling = store.new_entry(Entry { site, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

/// Our ids of devices that are all of this site; their deletion waits until the transaction ends.
async fn devices_of(
    txn: &DatabaseTransaction,
    site: Uuid,
    names: &BTreeSet<DeviceName>,
) -> Result<BTreeSet<Uuid>, Error> {
    use entity::device::{Column, Entity};
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let partners: BTreeSet<Uuid> = names.iter().map(|name| name.partner).collect();
    let ids: BTreeSet<String> = names.iter().map(|name| name.id.clone()).collect();
    let rows: Vec<(Uuid, Uuid, String, Uuid)> = Entity::find()
        .select_only()
        .columns([
            Column::Uid,
            Column::PartnerId,
            Column::DeviceId,
            Column::SiteId,
        ])
        .filter(Column::PartnerId.is_in(partners))
        .filter(Column::DeviceId.is_in(ids))
        .order_by_asc(Column::Uid)
        .lock(LockType::KeyShare)
        .into_tuple()
        .all(txn)
        .await?;
    let mut uids = BTreeSet::new();
    for (uid, partner, id, of) in rows {
        // A partner may have a device that is meant of another.
        if !names.contains(&DeviceName { partner, id }) {
            continue;
        }
        if of != site {
            return Err(Error::InvalidField {
                field: "devices",
                detail: "are of another site",
            });
        }
        uids.insert(uid);
    }
    if uids.len() < names.len() {
        return Err(Error::NotFound(Noun::Device));
    }
    Ok(uids)
}

/// False where the group has these already.
async fn replace_members(
    txn: &DatabaseTransaction,
    group: Uuid,
    devices: BTreeSet<Uuid>,
) -> Result<bool, Error> {
    let there: Vec<Uuid> = member::Entity::find()
        .select_only()
        .column(member::Column::DeviceUid)
        .filter(member::Column::GroupId.eq(group))
        .into_tuple()
        .all(txn)
        .await?;
    if there.into_iter().collect::<BTreeSet<_>>() == devices {
        return Ok(false);
    }
    member::Entity::delete_many()
        .filter(member::Column::GroupId.eq(group))
        .exec(txn)
        .await?;
    insert_members(txn, group, devices).await?;
    Ok(true)
}

async fn insert_members(
    txn: &DatabaseTransaction,
    group: Uuid,
    devices: BTreeSet<Uuid>,
) -> Result<(), Error> {
    if devices.is_empty() {
        return Ok(());
    }
    let rows = devices.into_iter().map(|device| member::ActiveModel {
        group_id: Set(group),
        device_uid: Set(device),
    });
    member::Entity::insert_many(rows)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}
