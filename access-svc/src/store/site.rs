use std::collections::HashSet;

use audit_log::Entry;
use futures::FutureExt;
use mesh::db::is_unique_violation;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{AuthEvent, Page, Store, audit, entity, log};
use crate::{
    domain::{
        device::{Device, DeviceKind},
        passage::{Order, Passage},
    },
    error::{Error, Noun},
};

#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) passage: Passage,
}

impl From<entity::site::Model> for Site {
    fn from(row: entity::site::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            passage: Passage {
                lockdown: row.lockdown,
                free: row.free_passage,
            },
        }
    }
}

impl From<entity::device::Model> for Device {
    fn from(row: entity::device::Model) -> Self {
        Self {
            uid: row.uid,
            partner: row.partner_id,
            id: row.device_id,
            site: row.site_id,
            kind: DeviceKind::from_code(row.kind),
            name: row.name,
            time_zone: row.time_zone,
            disabled: row.disabled,
            passage: Passage {
                lockdown: row.lockdown,
                free: row.free_passage,
            },
        }
    }
}

impl Store {
    pub(crate) async fn insert_site(
        &self,
        site: Site,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    entity::site::Entity::insert(entity::site::ActiveModel {
                        id: Set(site.id),
                        name: Set(site.name),
                        lockdown: Set(site.passage.lockdown),
                        free_passage: Set(site.passage.free),
                        created_at: Set(now),
                    })
                    .exec_without_returning(txn)
                    .await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn site(&self, id: Uuid) -> Result<Option<Site>, Error> {
        let row = entity::site::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Site::from))
    }

    pub(crate) async fn list_sites(&self, page: Page) -> Result<Vec<Site>, Error> {
        let mut query = entity::site::Entity::find().order_by_asc(entity::site::Column::Id);
        if let Some(after) = page.after {
            query = query.filter(entity::site::Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(Site::from).collect())
    }

    /// Stores the event where the order changes anything.
    pub(crate) async fn order_site(
        &self,
        id: Uuid,
        order: Order,
        on: bool,
        event: AuthEvent,
    ) -> Result<Site, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::site::{Column, Entity};
                    let column = match order {
                        Order::Lockdown => Column::Lockdown,
                        Order::FreePassage => Column::FreePassage,
                    };
                    let changed = Entity::update_many()
                        .col_expr(column, Expr::value(on))
                        .filter(Column::Id.eq(id))
                        .filter(column.ne(on))
                        .exec(txn)
                        .await?;
                    if changed.rows_affected > 0 {
                        audit::insert(&store, txn, vec![event]).await?;
                    }
                    let row = Entity::find_by_id(id).one(txn).await?;
                    row.map(Site::from).ok_or(Error::NotFound(Noun::Site))
                }
                .boxed()
            })
            .await
    }

    /// Stores the event where the order changes anything.
    pub(crate) async fn order_device(
        &self,
        uid: Uuid,
        order: Order,
        on: bool,
        event: AuthEvent,
    ) -> Result<Device, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::device::{Column, Entity};
                    let column = match order {
                        Order::Lockdown => Column::Lockdown,
                        Order::FreePassage => Column::FreePassage,
                    };
                    let changed = Entity::update_many()
                        .col_expr(column, Expr::value(on))
                        .filter(Column::Uid.eq(uid))
                        .filter(column.ne(on))
                        .exec(txn)
                        .await?;
                    if changed.rows_affected > 0 {
                        audit::insert(&store, txn, vec![event]).await?;
                    }
                    let row = Entity::find_by_id(uid).one(txn).await?;
                    row.map(Device::from).ok_or(Error::NotFound(Noun::Device))
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn insert_device(
        &self,
        device: Device,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let inserted = entity::device::Entity::insert(entity::device::ActiveModel {
                        uid: Set(device.uid),
                        partner_id: Set(device.partner),
                        device_id: Set(device.id),
                        site_id: Set(device.site),
                        kind: Set(device.kind.code()),
                        name: Set(device.name),
                        time_zone: Set(device.time_zone),
                        disabled: Set(device.disabled),
                        lockdown: Set(device.passage.lockdown),
                        free_passage: Set(device.passage.free),
                        created_at: Set(now),
                    })
                    .exec_without_returning(txn)
                    .await;
                    match inserted {
                        Ok(_) => Ok(log::insert(txn, vec![telling]).await?),
                        Err(error) if is_unique_violation(&error) => {
                            Err(Error::Exists(Noun::Device))
                        }
                        Err(error) => Err(error.into()),
                    }
                }
                .boxed()
            })
            .await
    }

    /// By the partner's own id.
    pub(crate) async fn device(&self, partner: Uuid, id: &str) -> Result<Option<Device>, Error> {
        let row = entity::device::Entity::find()
            .filter(entity::device::Column::PartnerId.eq(partner))
            .filter(entity::device::Column::DeviceId.eq(id))
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
        partner: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Device>, Error> {
        let mut query = entity::device::Entity::find().order_by_asc(entity::device::Column::Uid);
        if let Some(partner) = partner {
            query = query.filter(entity::device::Column::PartnerId.eq(partner));
        }
        if let Some(after) = page.after {
            query = query.filter(entity::device::Column::Uid.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(Device::from).collect())
    }

    pub(crate) async fn set_device_state(
        &self,
        partner: Uuid,
        id: String,
        disabled: bool,
        telling: Entry,
    ) -> Result<Device, Error> {
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::device::Column;
                    entity::device::Entity::update_many()
                        .col_expr(Column::Disabled, Expr::value(disabled))
                        .filter(Column::PartnerId.eq(partner))
                        .filter(Column::DeviceId.eq(&id))
                        .exec(txn)
                        .await?;
                    log::insert(txn, vec![telling]).await?;
                    let row = entity::device::Entity::find()
                        .filter(Column::PartnerId.eq(partner))
                        .filter(Column::DeviceId.eq(&id))
                        .one(txn)
                        .await?;
                    row.map(Device::from).ok_or(Error::NotFound(Noun::Device))
                }
                .boxed()
            })
            .await
    }
}
