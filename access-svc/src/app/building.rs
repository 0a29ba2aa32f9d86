//! Buildings of residential complexes.

use audit_log::Entry;
use mesh::Caller;
use uuid::Uuid;

use super::{App, By, Named};
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
        syntax::check_name,
    },
    error::{Error, Noun},
    store::{Building, Change, Page},
};

impl App {
    pub(crate) async fn create_building(
        &self,
        site: Uuid,
        name: String,
        given: ExternalIds,
        by: &Caller,
    ) -> Result<Named<Building>, Error> {
        check_name("name", &name, 100)?;
        let external_ids = ExternalIds::default().replaced(given, by)?;
        let building = Building {
            id: Uuid::now_v7(),
            site,
            name,
            version: Version::FIRST,
        };
        let telling = Entry {
            site: Some(site),
            ..self.of_building("building_created", building.id)
        };
        self.parts
            .store
            .insert_building(building.clone(), &external_ids, self.now_micros(), telling)
            .await?;
        Ok((building, external_ids))
    }

    pub(crate) async fn get_building(&self, by: By) -> Result<Named<Building>, Error> {
        let id = self.id_of(Object::Building, by).await?;
        let building = self.parts.store.building(id).await?;
        let building = building.ok_or(Error::NotFound(Noun::Building))?;
        self.named_one(Object::Building, building, id).await
    }

    pub(crate) async fn list_buildings(
        &self,
        site: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Named<Building>>, Error> {
        let buildings = self.parts.store.list_buildings(site, page).await?;
        self.named(Object::Building, buildings, |building| building.id)
            .await
    }

    pub(crate) async fn update_building(
        &self,
        id: Uuid,
        change: Change,
    ) -> Result<Named<Building>, Error> {
        if let Some(name) = &change.name {
            check_name("name", name, 100)?;
        }
        let telling = self.of_building("building_updated", id);
        let store = &self.parts.store;
        let building = store.update_building(id, change, telling).await?;
        self.named_one(Object::Building, building, id).await
    }

    pub(crate) async fn delete_building(&self, id: Uuid, if_match: IfMatch) -> Result<(), Error> {
        let telling = self.of_building("building_deleted", id);
        let store = &self.parts.store;
        store.delete_building(id, if_match, telling).await
    }

    fn of_building(&self, code: &str, building: Uuid) -> Entry {
        Entry {
            subject: Some(building.to_string()),
            ..self.act(code)
        }
    }
}
