//! Households and who lives in them.

use audit_log::Entry;
use mesh::Caller;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
        household::check_unit,
    },
    error::{Error, Noun},
    store::{Household, HouseholdChange, Membership, ObjectId, Owner, Page},
};

pub(crate) struct NewHousehold {
    pub(crate) site: Uuid,
    pub(crate) building: Option<Uuid>,
    pub(crate) unit: String,
    pub(crate) external_ids: ExternalIds,
}

/// What is to change; none of each stays as it is.
#[derive(Default)]
pub(crate) struct HouseholdUpdate {
    pub(crate) building: Option<Option<Uuid>>,
    pub(crate) unit: Option<String>,
    pub(crate) external_ids: Option<ExternalIds>,
}

impl App {
    pub(crate) async fn create_household(
        &self,
        new: NewHousehold,
        caller: &Caller,
    ) -> Result<(Household, ExternalIds), Error> {
        check_unit(&new.unit)?;
        let external_ids = ExternalIds::default().replaced(new.external_ids, caller)?;
        let household = Household {
            id: Uuid::now_v7(),
            site: new.site,
            building: new.building,
            unit: new.unit,
            version: Version::FIRST,
        };
        let telling = Entry {
            site: Some(household.site),
            ..self.household_act("household_created", household.id)
        };
        self.parts
            .store
            .insert_household(
                household.clone(),
                external_ids.clone(),
                self.now_micros(),
                telling,
            )
            .await?;
        Ok((household, external_ids))
    }

    pub(crate) async fn household(&self, id: Uuid) -> Result<(Household, ExternalIds), Error> {
        let store = &self.parts.store;
        let household = store.household(id).await?;
        let household = household.ok_or(Error::NotFound(Noun::Household))?;
        Ok((household, store.external_ids_of(named(id)).await?))
    }

    pub(crate) async fn list_households(
        &self,
        site: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<(Household, ExternalIds)>, Error> {
        let store = &self.parts.store;
        let households = store.list_households(site, page).await?;
        let ids = households.iter().map(|household| household.id);
        let mut external_ids = store.external_ids(Object::Household, ids).await?;
        Ok(households
            .into_iter()
            .map(|household| {
                let ids = external_ids.remove(&household.id).unwrap_or_default();
                (household, ids)
            })
            .collect())
    }

    pub(crate) async fn update_household(
        &self,
        id: Uuid,
        if_match: IfMatch,
        update: HouseholdUpdate,
        caller: &Caller,
    ) -> Result<(Household, ExternalIds), Error> {
        if let Some(unit) = &update.unit {
            check_unit(unit)?;
        }
        let store = &self.parts.store;
        let (household, mut external_ids) = self.household(id).await?;
        let mut new = None;
        if let Some(given) = update.external_ids {
            external_ids = external_ids.replaced(given, caller)?;
            new = Some(store.new_external_ids(named(id), &Owner::Nobody, &external_ids)?);
        }
        let change = HouseholdChange {
            building: update.building,
            unit: update.unit,
            external_ids: new,
            read: household.version,
        };
        let telling = Entry {
            site: Some(household.site),
            ..self.household_act("household_updated", id)
        };
        let updated = store
            .update_household(id, if_match, change, telling)
            .await?;
        Ok((updated, external_ids))
    }

    pub(crate) async fn delete_household(&self, id: Uuid, if_match: IfMatch) -> Result<(), Error> {
        let telling = self.household_act("household_deleted", id);
        self.parts
            .store
            .delete_household(id, if_match, telling)
            .await
    }

    pub(crate) async fn add_member(&self, new: Membership) -> Result<(), Error> {
        let telling = self.act("household_member_added");
        if self.parts.store.add_member(new, telling).await?
            && let Err(error) = self.tell_galleries(new.resident).await
        {
            tracing::warn!(%error, "a new member's site is untold; it is told again");
        }
        Ok(())
    }

    pub(crate) async fn remove_member(&self, old: Membership) -> Result<(), Error> {
        let telling = self.act("household_member_removed");
        self.parts.store.remove_member(old, telling).await
    }

    pub(crate) async fn list_members(
        &self,
        household: Uuid,
        page: Page,
    ) -> Result<Vec<Uuid>, Error> {
        let store = &self.parts.store;
        if store.household(household).await?.is_none() {
            return Err(Error::NotFound(Noun::Household));
        }
        store.list_members(household, page).await
    }

    fn household_act(&self, code: &str, household: Uuid) -> Entry {
        Entry {
            subject: Some(household.to_string()),
            ..self.act(code)
        }
    }
}

fn named(id: Uuid) -> ObjectId {
    ObjectId {
        object: Object::Household,
        id,
    }
}
