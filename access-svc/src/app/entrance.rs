//! Entrances of buildings.

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
    store::{Change, Entrance, Page},
};

impl App {
    pub(crate) async fn create_entrance(
        &self,
        building: Uuid,
        name: String,
        given: ExternalIds,
        by: &Caller,
    ) -> Result<Named<Entrance>, Error> {
        check_name("name", &name, 100)?;
        let external_ids = ExternalIds::default().replaced(given, by)?;
        let entrance = Entrance {
            id: Uuid::now_v7(),
            building,
            name,
            version: Version::FIRST,
        };
        let telling = self.of_entrance("entrance_created", entrance.id);
        self.parts
            .store
            .insert_entrance(entrance.clone(), &external_ids, self.now_micros(), telling)
            .await?;
        Ok((entrance, external_ids))
    }

    pub(crate) async fn get_entrance(&self, by: By) -> Result<Named<Entrance>, Error> {
        let id = self.id_of(Object::Entrance, by).await?;
        let entrance = self.parts.store.entrance(id).await?;
        let entrance = entrance.ok_or(Error::NotFound(Noun::Entrance))?;
        self.named_one(Object::Entrance, entrance, id).await
    }

    pub(crate) async fn list_entrances(
        &self,
        building: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Named<Entrance>>, Error> {
        let entrances = self.parts.store.list_entrances(building, page).await?;
        self.named(Object::Entrance, entrances, |entrance| entrance.id)
            .await
    }

    pub(crate) async fn update_entrance(
        &self,
        id: Uuid,
        change: Change,
    ) -> Result<Named<Entrance>, Error> {
        if let Some(name) = &change.name {
            check_name("name", name, 100)?;
        }
        let telling = self.of_entrance("entrance_updated", id);
        let store = &self.parts.store;
        let entrance = store.update_entrance(id, change, telling).await?;
        self.named_one(Object::Entrance, entrance, id).await
    }

    pub(crate) async fn delete_entrance(&self, id: Uuid, if_match: IfMatch) -> Result<(), Error> {
        let telling = self.of_entrance("entrance_deleted", id);
        let store = &self.parts.store;
        store.delete_entrance(id, if_match, telling).await
    }

    fn of_entrance(&self, code: &str, entrance: Uuid) -> Entry {
        Entry {
            subject: Some(entrance.to_string()),
            ..self.act(code)
        }
    }
}
