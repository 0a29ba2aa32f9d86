use std::collections::HashMap;

use audit_log::Entry;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::ExprTrait,
};
use uuid::Uuid;

use super::{Page, Store, entity, log, resident::check_present};
use crate::{
    domain::{decision::Grant, schedule::Window},
    error::Error,
};

#[derive(Clone, Debug)]
pub(crate) struct StoredGrant {
    pub(crate) id: Uuid,
    pub(crate) resident: Uuid,
    pub(crate) device_uid: Uuid,
    pub(crate) windows: Vec<Window>,
    pub(crate) ends_at: Option<Timestamp>,
}

impl TryFrom<entity::grant::Model> for StoredGrant {
    type Error = Error;

    fn try_from(row: entity::grant::Model) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            resident: row.resident_id,
            device_uid: row.device_uid,
            // Windows that cannot be read must not become "at any time".
            windows: serde_json::from_str(&row.windows)
                .map_err(|_| Error::Corrupt("grant windows"))?,
            ends_at: row.ends_at.map(from_micros),
        })
    }
}

impl Store {
    pub(crate) async fn insert_grant(
        &self,
        grant: StoredGrant,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        let windows =
            serde_json::to_string(&grant.windows).map_err(|_| Error::Corrupt("grant windows"))?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    check_present(txn, grant.resident).await?;
                    entity::grant::Entity::insert(entity::grant::ActiveModel {
                        id: Set(grant.id),
                        resident_id: Set(grant.resident),
                        device_uid: Set(grant.device_uid),
                        windows: Set(windows),
                        ends_at: Set(grant.ends_at.map(to_micros)),
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

    pub(crate) async fn grants_on(
        &self,
        resident: Uuid,
        device: Uuid,
    ) -> Result<Vec<Grant>, Error> {
        entity::grant::Entity::find()
            .filter(entity::grant::Column::ResidentId.eq(resident))
            .filter(entity::grant::Column::DeviceUid.eq(device))
            .all(&self.db.read)
            .await?
            .into_iter()
            .map(|row| {
                let stored = StoredGrant::try_from(row)?;
                Ok(Grant {
                    windows: stored.windows,
                    ends_at: stored.ends_at,
                })
            })
            .collect()
    }

    /// Devices (our ids) on which each resident has a right that has not ended.
    pub(crate) async fn granted_devices(
        &self,
        residents: Vec<Uuid>,
        now: Timestamp,
    ) -> Result<HashMap<Uuid, Vec<Uuid>>, Error> {
        use entity::grant::Column;
        let mut granted: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        if residents.is_empty() {
            return Ok(granted);
        }
        let rows = entity::grant::Entity::find()
            .filter(Column::ResidentId.is_in(residents))
            .filter(
                Column::EndsAt
                    .is_null()
                    .or(Column::EndsAt.gt(to_micros(now))),
            )
            .all(&self.db.read)
            .await?;
        for row in rows {
            let devices = granted.entry(row.resident_id).or_default();
            devices.push(row.device_uid);
        }
        Ok(granted)
    }

    pub(crate) async fn list_grants(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<StoredGrant>, Error> {
        use entity::grant::Column;
        let mut query = entity::grant::Entity::find().order_by_asc(Column::Id);
        if let Some(resident) = resident {
            query = query.filter(Column::ResidentId.eq(resident));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        rows.into_iter().map(StoredGrant::try_from).collect()
    }

    /// False when there is no such grant.
    pub(crate) async fn delete_grant(&self, id: Uuid, telling: Entry) -> Result<bool, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::grant::Entity;
                    let Some(row) = Entity::find_by_id(id).one(txn).await? else {
                        return Ok(false);
                    };
                    let gone = Entity::delete_by_id(id).exec(txn).await?;
                    if gone.rows_affected == 0 {
                        return Ok(false);
                    }
                    let who = log::name_in_logs(txn, row.resident_id).await?;
                    let telling = store.new_entry(Entry { who, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(true)
                }
                .boxed()
            })
            .await
    }
}
