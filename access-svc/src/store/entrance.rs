use audit_log::Entry;
use futures::FutureExt;
use sea_orm::{ActiveValue::Set, EntityTrait};
use uuid::Uuid;

use super::{
    Change, ObjectId, Owner, Page, Store, entity, external_id, log,
    place::{self, Named, is_named},
};
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
    },
    error::{Error, Noun},
};

#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) id: Uuid,
    pub(crate) building: Uuid,
    pub(crate) name: String,
    pub(crate) version: Version,
}

impl From<entity::entrance::Model> for Entrance {
    fn from(row: entity::entrance::Model) -> Self {
        Self {
            id: row.id,
            building: row.building_id,
            name: row.name,
            version: Version(row.version),
        }
    }
}

impl Named for entity::entrance::Entity {
    const OBJECT: Object = Object::Entrance;
    const NOUN: Noun = Noun::Entrance;
    const ID: Self::Column = entity::entrance::Column::Id;
    const NAME: Self::Column = entity::entrance::Column::Name;
    const VERSION: Self::Column = entity::entrance::Column::Version;

    fn facts(row: &Self::Model) -> (Uuid, &str, Version) {
        (row.id, &row.name, Version(row.version))
    }
}

impl Store {
    pub(crate) async fn insert_entrance(
        &self,
        entrance: Entrance,
        external_ids: &ExternalIds,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let object = ObjectId {
            object: Object::Entrance,
            id: entrance.id,
        };
        let external_ids = self.new_external_ids(object, &Owner::Nobody, external_ids)?;
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let building =
                        place::parent::<entity::building::Entity>(txn, entrance.building).await?;
                    entity::entrance::Entity::insert(entity::entrance::ActiveModel {
                        id: Set(entrance.id),
                        building_id: Set(entrance.building),
                        name: Set(entrance.name),
                        version: Set(entrance.version.0),
                        created_at: Set(now),
                    })
                    .exec_without_returning(txn)
                    .await?;
                    external_id::insert(txn, external_ids).await?;
                    let site = Some(building.site_id);
                    let telling = store.new_entry(Entry { site, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn entrance(&self, id: Uuid) -> Result<Option<Entrance>, Error> {
        let row = entity::entrance::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Entrance::from))
    }

    pub(crate) async fn list_entrances(
        &self,
        building: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Entrance>, Error> {
        use entity::entrance::{Column, Entity};
        let below = building.map(|building| (Column::BuildingId, building));
        let rows = place::list::<Entity>(self, below, page).await?;
        Ok(rows.into_iter().map(Entrance::from).collect())
    }

    /// Tells nothing where nothing changes.
    pub(crate) async fn update_entrance(
        &self,
        id: Uuid,
        change: Change,
        telling: Entry,
    ) -> Result<Entrance, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::entrance::Entity;
                    let row = place::to_change::<Entity>(txn, id, &change.if_match).await?;
                    let changed =
                        place::change::<Entity>(&store, txn, &row, change, Vec::new(), false)
                            .await?;
                    let Some(row) = changed else {
                        return Ok(Entrance::from(row));
                    };
                    let building =
                        place::there::<entity::building::Entity>(txn, row.building_id).await?;
                    let site = Some(building.site_id);
                    let telling = store.new_entry(Entry { site, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(Entrance::from(row))
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn delete_entrance(
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
                    use entity::{device, entrance::Entity};
                    let row = place::to_delete::<Entity>(txn, id, &if_match).await?;
                    if is_named::<device::Entity>(txn, device::Column::EntranceId, id).await? {
                        return Err(Error::InUse(Noun::Entrance));
                    }
                    place::remove::<Entity>(txn, id).await?;
                    let building =
                        place::there::<entity::building::Entity>(txn, row.building_id).await?;
                    let site = Some(building.site_id);
                    let telling = store.new_entry(Entry { site, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}
