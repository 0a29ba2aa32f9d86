use std::collections::HashSet;

use audit_log::Entry;
use futures::FutureExt;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::{
    Change, ObjectId, Owner, Page, Store, entity, external_id, log,
    place::{self, Named, is_named},
};
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
        passage::Passage,
    },
    error::{Error, Noun},
};

#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) passage: Passage,
    pub(crate) version: Version,
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
            version: Version(row.version),
        }
    }
}

impl Named for entity::site::Entity {
    const OBJECT: Object = Object::Site;
    const NOUN: Noun = Noun::Site;
    const ID: Self::Column = entity::site::Column::Id;
    const NAME: Self::Column = entity::site::Column::Name;
    const VERSION: Self::Column = entity::site::Column::Version;

    fn facts(row: &Self::Model) -> (Uuid, &str, Version) {
        (row.id, &row.name, Version(row.version))
    }
}

impl Store {
    pub(crate) async fn insert_site(
        &self,
        site: Site,
        external_ids: &ExternalIds,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let object = ObjectId {
            object: Object::Site,
            id: site.id,
        };
        let external_ids = self.new_external_ids(object, &Owner::Nobody, external_ids)?;
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
                        version: Set(site.version.0),
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

    pub(crate) async fn site(&self, id: Uuid) -> Result<Option<Site>, Error> {
        let row = entity::site::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Site::from))
    }

    /// Which of these there are.
    pub(crate) async fn sites_there(&self, ids: &[Uuid]) -> Result<HashSet<Uuid>, Error> {
        use entity::site::{Column, Entity};
        let there: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Id.is_in(ids.iter().copied()))
            .into_tuple()
            .all(&self.db.read)
            .await?;
        Ok(there.into_iter().collect())
    }

    pub(crate) async fn list_sites(&self, page: Page) -> Result<Vec<Site>, Error> {
        let rows = place::list::<entity::site::Entity>(self, None, page).await?;
        Ok(rows.into_iter().map(Site::from).collect())
    }

    /// Tells nothing where nothing changes.
    pub(crate) async fn update_site(
        &self,
        id: Uuid,
        change: Change,
        telling: Entry,
    ) -> Result<Site, Error> {
        let store = self.clone();
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::site::Entity;
                    let row = place::to_change::<Entity>(txn, id, &change.if_match).await?;
                    let changed =
                        place::change::<Entity>(&store, txn, &row, change, Vec::new(), false)
                            .await?;
                    let Some(row) = changed else {
                        return Ok(Site::from(row));
                    };
                    log::insert(txn, vec![telling]).await?;
                    Ok(Site::from(row))
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn delete_site(
        &self,
        id: Uuid,
        if_match: IfMatch,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    place::to_delete::<entity::site::Entity>(txn, id, &if_match).await?;
                    if is_in_use(txn, id).await? {
                        return Err(Error::InUse(Noun::Site));
                    }
                    place::remove::<entity::site::Entity>(txn, id).await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

/// Whether anything is registered at it.
async fn is_in_use(txn: &DatabaseTransaction, id: Uuid) -> Result<bool, Error> {
    use entity::{building, device, device_group, holding, household, resident_site, subscription};
    Ok(
        is_named::<building::Entity>(txn, building::Column::SiteId, id).await?
            || is_named::<device::Entity>(txn, device::Column::SiteId, id).await?
            || is_named::<device_group::Entity>(txn, device_group::Column::SiteId, id).await?
            || is_named::<household::Entity>(txn, household::Column::SiteId, id).await?
            || is_named::<resident_site::Entity>(txn, resident_site::Column::SiteId, id).await?
            || is_named::<holding::Entity>(txn, holding::Column::SiteId, id).await?
            || is_named::<subscription::Entity>(txn, subscription::Column::SiteId, id).await?,
    )
}
