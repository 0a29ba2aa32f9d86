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
pub(crate) struct Building {
    pub(crate) id: Uuid,
    pub(crate) site: Uuid,
    pub(crate) name: String,
    pub(crate) version: Version,
}

impl From<entity::building::Model> for Building {
    fn from(row: entity::building::Model) -> Self {
        Self {
            id: row.id,
            site: row.site_id,
            name: row.name,
            version: Version(row.version),
        }
    }
}

impl Named for entity::building::Entity {
    const OBJECT: Object = Object::Building;
    const NOUN: Noun = Noun::Building;
    const ID: Self::Column = entity::building::Column::Id;
    const NAME: Self::Column = entity::building::Column::Name;
    const VERSION: Self::Column = entity::building::Column::Version;

    fn facts(row: &Self::Model) -> (Uuid, &str, Version) {
        (row.id, &row.name, Version(row.version))
    }
}

impl Store {
    pub(crate) async fn insert_building(
        &self,
        building: Building,
        external_ids: &ExternalIds,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let object = ObjectId {
            object: Object::Building,
            id: building.id,
        };
        let external_ids = self.new_external_ids(object, &Owner::Nobody, external_ids)?;
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    place::parent::<entity::site::Entity>(txn, building.site).await?;
                    entity::building::Entity::insert(entity::building::ActiveModel {
                        id: Set(building.id),
                        site_id: Set(building.site),
                        name: Set(building.name),
                        version: Set(building.version.0),
                        created_at: Set(now),
                    })
                    .exec_without_returning(txn)
                    .await?;
                    external_id::insert(txn, external_ids).await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn building(&self, id: Uuid) -> Result<Option<Building>, Error> {
        let row = entity::building::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Building::from))
    }

    pub(crate) async fn list_buildings(
        &self,
        site: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Building>, Error> {
        use entity::building::{Column, Entity};
        let below = site.map(|site| (Column::SiteId, site));
        let rows = place::list::<Entity>(self, below, page).await?;
        Ok(rows.into_iter().map(Building::from).collect())
    }

    /// Tells nothing where nothing changes.
    pub(crate) async fn update_building(
        &self,
        id: Uuid,
        change: Change,
        telling: Entry,
    ) -> Result<Building, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::building::Entity;
                    let row = place::to_change::<Entity>(txn, id, &change.if_match).await?;
                    let changed =
                        place::change::<Entity>(&store, txn, &row, change, Vec::new(), false)
                            .await?;
                    let Some(row) = changed else {
                        return Ok(Building::from(row));
                    };
                    let site = Some(row.site_id);
                    let telling = store.new_entry(Entry { site, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(Building::from(row))
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn delete_building(
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
                    use entity::{
                        building::Entity,
                        entrance::{self, Column::BuildingId},
                        household,
                    };
                    let row = place::to_delete::<Entity>(txn, id, &if_match).await?;
                    let in_use = is_named::<entrance::Entity>(txn, BuildingId, id).await?
                        || is_named::<household::Entity>(txn, household::Column::BuildingId, id)
                            .await?;
                    if in_use {
                        return Err(Error::InUse(Noun::Building));
                    }
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
