//! Rights on devices.

use audit_log::Entry;
use jiff::Timestamp;
use mesh::Caller;
use uuid::Uuid;

use super::{App, By};
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
        grant::{Holder, Target},
        schedule::Window,
    },
    error::{Error, Noun},
    store::{GrantChange, GrantFilter, NewExternalIds, ObjectId, Owner, Page, StoredGrant},
};

pub(crate) struct NewGrant {
    pub(crate) holder: Holder,
    pub(crate) target: TargetName,
    pub(crate) windows: Vec<Window>,
    pub(crate) ends_at: Option<Timestamp>,
    pub(crate) external_ids: ExternalIds,
}

/// A device's address as callers know it.
pub(crate) type DeviceName = (Uuid, String);

/// What a right is on, as callers know it.
pub(crate) enum TargetName {
    Device(DeviceName),
    Group(Uuid),
}

/// Whose grants, or on what, are listed.
pub(crate) enum GrantsOf {
    All,
    Holder(Holder),
    Target(TargetName),
}

pub(crate) struct GrantUpdate {
    pub(crate) windows: Option<Vec<Window>>,
    /// Inside, none is without an end.
    pub(crate) ends_at: Option<Option<Timestamp>>,
    pub(crate) external_ids: Option<ExternalIds>,
}

/// A grant with what callers know it by.
pub(crate) struct ShownGrant {
    pub(crate) grant: StoredGrant,
    /// None for a group's.
    pub(crate) device: Option<DeviceName>,
    pub(crate) external_ids: ExternalIds,
}

impl App {
    pub(crate) async fn create_grant(
        &self,
        new: NewGrant,
        by: &Caller,
    ) -> Result<ShownGrant, Error> {
        validate(&new.windows)?;
        let external_ids = ExternalIds::default().replaced(new.external_ids, by)?;
        let who = match new.holder {
            Holder::Resident(id) => Some(self.resident(id).await?.audit_pseudonym),
            Holder::Household(_) => None,
        };
        let target = self.grant_target(&new.target).await?;
        let grant = StoredGrant {
            id: Uuid::now_v7(),
            holder: new.holder,
            target,
            windows: new.windows,
            ends_at: new.ends_at,
            version: Version::FIRST,
        };
        let device = match new.target {
            TargetName::Device(name) => Some(name),
            TargetName::Group(_) => None,
        };
        let telling = Entry {
            partner: device.as_ref().map(|(partner, _)| *partner),
            device: device.as_ref().map(|(_, id)| id.clone()),
            who,
            subject: Some(grant.id.to_string()),
            ..self.act("grant_created")
        };
        let named = self.grant_ids(&grant, &external_ids).await?;
        self.parts
            .store
            .insert_grant(grant.clone(), named, self.now_micros(), telling)
            .await?;
        Ok(ShownGrant {
            grant,
            device,
            external_ids,
        })
    }

    pub(crate) async fn get_grant(&self, by: By) -> Result<ShownGrant, Error> {
        let id = self.id_of(Object::Grant, by).await?;
        let grant = self.stored_grant(id).await?;
        self.show_grant(grant).await
    }

    async fn stored_grant(&self, id: Uuid) -> Result<StoredGrant, Error> {
        let grant = self.parts.store.grant(id).await?;
        grant.ok_or(Error::NotFound(Noun::Grant))
    }

    pub(crate) async fn list_grants(
        &self,
        of: GrantsOf,
        page: Page,
    ) -> Result<Vec<ShownGrant>, Error> {
        let filter = match of {
            GrantsOf::All => GrantFilter::All,
            GrantsOf::Holder(holder) => GrantFilter::Of(holder),
            GrantsOf::Target(name) => GrantFilter::On(self.grant_target(&name).await?),
        };
        let grants = self.parts.store.list_grants(filter, page).await?;
        self.show_grants(grants).await
    }

    pub(crate) async fn update_grant(
        &self,
        id: Uuid,
        update: GrantUpdate,
        if_match: IfMatch,
        by: &Caller,
    ) -> Result<ShownGrant, Error> {
        validate(update.windows.as_deref().unwrap_or_default())?;
        let external_ids = match update.external_ids {
            None => None,
            Some(given) => {
                let read = self.stored_grant(id).await?;
                let of = ObjectId {
                    object: Object::Grant,
                    id,
                };
                let there = self.parts.store.external_ids_of(of).await?;
                let after = there.replaced(given, by)?;
                Some((read.version, self.grant_ids(&read, &after).await?))
            }
        };
        let change = GrantChange {
            windows: update.windows,
            ends_at: update.ends_at,
            external_ids,
        };
        let telling = Entry {
            subject: Some(id.to_string()),
            ..self.act("grant_updated")
        };
        let store = &self.parts.store;
        let grant = store.update_grant(id, change, if_match, telling).await?;
        self.show_grant(grant).await
    }

    pub(crate) async fn revoke_grant(&self, id: Uuid, if_match: IfMatch) -> Result<(), Error> {
        let telling = Entry {
            subject: Some(id.to_string()),
            ..self.act("grant_revoked")
        };
        self.parts.store.delete_grant(id, if_match, telling).await
    }

    async fn grant_target(&self, name: &TargetName) -> Result<Target, Error> {
        match name {
            TargetName::Group(id) => Ok(Target::Group(*id)),
            TargetName::Device((partner, id)) => {
                let device = self.parts.store.device(*partner, id).await?;
                let device = device.ok_or(Error::NotFound(Noun::Device))?;
                Ok(Target::Device(device.uid))
            }
        }
    }

    /// A resident's grant has its names under the resident's key.
    async fn grant_ids(
        &self,
        grant: &StoredGrant,
        ids: &ExternalIds,
    ) -> Result<NewExternalIds, Error> {
        let store = &self.parts.store;
        let of = ObjectId {
            object: Object::Grant,
            id: grant.id,
        };
        match grant.holder {
            Holder::Household(_) => store.new_external_ids(of, &Owner::Nobody, ids),
            Holder::Resident(resident) => {
                store.learns_epoch_of_names().await?;
                let key = store.resident_key(resident).await?;
                let key = key.ok_or(Error::NotFound(Noun::Resident))?;
                store.new_external_ids(of, &Owner::Resident(resident, &key), ids)
            }
        }
    }

    async fn show_grant(&self, grant: StoredGrant) -> Result<ShownGrant, Error> {
        let mut shown = self.show_grants(vec![grant]).await?;
        shown.pop().ok_or(Error::NotFound(Noun::Grant))
    }

    async fn show_grants(&self, grants: Vec<StoredGrant>) -> Result<Vec<ShownGrant>, Error> {
        let store = &self.parts.store;
        let uids = grants.iter().filter_map(|grant| match grant.target {
            Target::Device(uid) => Some(uid),
            Target::Group(_) => None,
        });
        let devices = store.devices_by_uid(uids.collect()).await?;
        let ids = grants.iter().map(|grant| grant.id);
        let mut external_ids = store.external_ids(Object::Grant, ids).await?;
        Ok(grants
            .into_iter()
            .map(|grant| {
                let on = |uid| grant.target == Target::Device(uid);
                let device = devices.iter().find(|device| on(device.uid));
                ShownGrant {
                    device: device.map(|device| (device.partner, device.id.clone())),
                    external_ids: external_ids.remove(&grant.id).unwrap_or_default(),
                    grant,
                }
            })
            .collect())
    }
}

fn validate(windows: &[Window]) -> Result<(), Error> {
    windows.iter().try_for_each(Window::validate)
}
