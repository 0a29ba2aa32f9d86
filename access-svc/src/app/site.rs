//! Residential complexes.

use audit_log::Entry;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{passage::Passage, syntax::check_name},
    error::{Error, Noun},
    store::{Page, Site},
};

impl App {
    pub(crate) async fn create_site(&self, name: String) -> Result<Site, Error> {
        check_name("name", &name, 100)?;
        let site = Site {
            id: Uuid::now_v7(),
            name,
            passage: Passage::default(),
        };
        let telling = Entry {
            site: Some(site.id),
            ..self.act("site_created")
        };
        self.parts
            .store
            .insert_site(site.clone(), self.now_micros(), telling)
            .await?;
        Ok(site)
    }

    pub(crate) async fn list_sites(&self, page: Page) -> Result<Vec<Site>, Error> {
        self.parts.store.list_sites(page).await
    }

    pub(super) async fn check_sites(&self, sites: &[Uuid]) -> Result<(), Error> {
        if !(1..=100).contains(&sites.len()) {
            return Err(Error::InvalidField {
                field: "site_ids",
                detail: "must name 1 to 100 sites",
            });
        }
        for site in sites {
            if self.parts.store.site(*site).await?.is_none() {
                return Err(Error::NotFound(Noun::Site));
            }
        }
        Ok(())
    }
}
