//! Residential complexes.

use audit_log::Entry;
use mesh::Caller;
use uuid::Uuid;

use super::{App, By, Named};
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
        passage::Passage,
        syntax::check_name,
    },
    error::{Error, Noun},
    store::{Change, Page, Site},
};

impl App {
    pub(crate) async fn create_site(
        &self,
        name: String,
        given: ExternalIds,
        by: &Caller,
    ) -> Result<Named<Site>, Error> {
        check_name("name", &name, 100)?;
        let external_ids = ExternalIds::default().replaced(given, by)?;
        let site = Site {
            id: Uuid::now_v7(),
            name,
            passage: Passage::default(),
            version: Version::FIRST,
        };
        let telling = self.of_site("site_created", site.id);
        self.parts
            .store
            .insert_site(site.clone(), &external_ids, self.now_micros(), telling)
            .await?;
        Ok((site, external_ids))
    }

    pub(crate) async fn get_site(&self, by: By) -> Result<Named<Site>, Error> {
        let id = self.id_of(Object::Site, by).await?;
        let site = self.parts.store.site(id).await?;
        let site = site.ok_or(Error::NotFound(Noun::Site))?;
        self.named_one(Object::Site, site, id).await
    }

    pub(crate) async fn list_sites(&self, page: Page) -> Result<Vec<Named<Site>>, Error> {
        let sites = self.parts.store.list_sites(page).await?;
        self.named(Object::Site, sites, |site| site.id).await
    }

    pub(crate) async fn update_site(&self, id: Uuid, change: Change) -> Result<Named<Site>, Error> {
        if let Some(name) = &change.name {
            check_name("name", name, 100)?;
        }
        let telling = self.of_site("site_updated", id);
        let site = self.parts.store.update_site(id, change, telling).await?;
        self.named_one(Object::Site, site, id).await
    }

    pub(crate) async fn delete_site(&self, id: Uuid, if_match: IfMatch) -> Result<(), Error> {
        let telling = self.of_site("site_deleted", id);
        self.parts.store.delete_site(id, if_match, telling).await
    }

    fn of_site(&self, code: &str, site: Uuid) -> Entry {
        Entry {
            site: Some(site),
            ..self.act(code)
        }
    }

    pub(super) async fn check_sites(&self, sites: &[Uuid]) -> Result<(), Error> {
        if !(1..=100).contains(&sites.len()) {
            return Err(Error::InvalidField {
                field: "site_ids",
                detail: "must name 1 to 100 sites",
            });
        }
        let there = self.parts.store.sites_there(sites).await?;
        if sites.iter().all(|site| there.contains(site)) {
            Ok(())
        } else {
            Err(Error::NotFound(Noun::Site))
        }
    }
}
