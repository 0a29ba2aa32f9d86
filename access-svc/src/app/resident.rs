//! Residents.

use std::collections::BTreeSet;

use audit_log::Entry;
use mesh::Caller;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
        syntax::check_name,
    },
    error::{Error, Noun},
    store::{NewPerson, ObjectId, Owner, Page, Resident, ResidentChange, ToldResident},
};

pub(crate) struct NewResident {
    pub(crate) name: Zeroizing<String>,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) households: Vec<Uuid>,
    pub(crate) external_ids: ExternalIds,
}

/// What is to change; none of each stays as it is.
#[derive(Default)]
pub(crate) struct ResidentUpdate {
    pub(crate) name: Option<Zeroizing<String>>,
    pub(crate) sites: Option<Vec<Uuid>>,
    pub(crate) external_ids: Option<ExternalIds>,
}

impl App {
    pub(crate) async fn create_resident(
        &self,
        new: NewResident,
        caller: &Caller,
    ) -> Result<ToldResident, Error> {
        check_name("name", &new.name, 200)?;
        let external_ids = ExternalIds::default().replaced(new.external_ids, caller)?;
        let households: BTreeSet<Uuid> = new.households.into_iter().collect();
        let resident = Resident {
            id: Uuid::now_v7(),
            // Random: neither says when the other was made.
            subject: Uuid::new_v4(),
            audit_pseudonym: Uuid::new_v4(),
            suspended: false,
            host: None,
            guest_until: None,
            version: Version::FIRST,
        };
        let created = Entry {
            who: Some(resident.audit_pseudonym),
            ..self.act("resident_created")
        };
        let joined = households.iter().map(|household| {
            let telling = Entry {
                who: Some(resident.audit_pseudonym),
                ..self.act("household_member_added")
            };
            (*household, telling)
        });
        let new = NewPerson {
            resident: resident.clone(),
            name: new.name,
            sites: new.sites.into_iter().collect(),
            joined: joined.collect(),
            external_ids: external_ids.clone(),
        };
        let store = &self.parts.store;
        let sites = store.insert_resident(new, self.now_micros(), created);
        Ok(ToldResident {
            sites: sites.await?,
            resident,
            name: None,
            households: households.into_iter().collect(),
            external_ids,
        })
    }

    pub(super) async fn resident(&self, id: Uuid) -> Result<Resident, Error> {
        self.parts
            .store
            .resident(id)
            .await?
            .ok_or(Error::NotFound(Noun::Resident))
    }

    pub(crate) async fn told_resident(
        &self,
        id: Uuid,
        with_name: bool,
    ) -> Result<ToldResident, Error> {
        let told = self.parts.store.told_resident(id, with_name).await?;
        told.ok_or(Error::NotFound(Noun::Resident))
    }

    pub(crate) async fn list_residents(
        &self,
        site: Option<Uuid>,
        page: Page,
        with_names: bool,
    ) -> Result<Vec<ToldResident>, Error> {
        let store = &self.parts.store;
        store.list_residents(site, page, with_names).await
    }

    pub(crate) async fn update_resident(
        &self,
        id: Uuid,
        if_match: IfMatch,
        update: ResidentUpdate,
        caller: &Caller,
    ) -> Result<(), Error> {
        if let Some(name) = &update.name {
            check_name("name", name, 200)?;
        }
        let store = &self.parts.store;
        let told = self.told_resident(id, false).await?;
        let external_ids = match update.external_ids {
            None => None,
            Some(given) => {
                store.learns_epoch_of_names().await?;
                let key = store.resident_key(id).await?;
                let key = key.ok_or(Error::NotFound(Noun::Resident))?;
                let of = ObjectId {
                    object: Object::Resident,
                    id,
                };
                let ids = told.external_ids.replaced(given, caller)?;
                Some(store.new_external_ids(of, &Owner::Resident(id, &key), &ids)?)
            }
        };
        let change = ResidentChange {
            name: update.name,
            sites: update.sites.map(|sites| sites.into_iter().collect()),
            external_ids,
            read: told.resident.version,
        };
        let telling = self.act("resident_updated");
        if store.update_resident(id, if_match, change, telling).await? {
            self.tell_galleries(id).await.map_err(|error| {
                tracing::warn!(%error, "a change of sites is untold; it is told again");
                Error::GalleriesUnfinished
            })?;
        }
        Ok(())
    }

    pub(crate) async fn set_resident_state(&self, id: Uuid, suspended: bool) -> Result<(), Error> {
        let code = if suspended {
            "resident_suspended"
        } else {
            "resident_resumed"
        };
        let telling = self.act(code);
        self.parts
            .store
            .set_resident_state(id, suspended, telling)
            .await
    }
}
