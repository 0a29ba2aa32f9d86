//! Rights on devices.

use audit_log::Entry;
use jiff::Timestamp;
use uuid::Uuid;

use super::App;
use crate::{
    domain::schedule::Window,
    error::{Error, Noun},
    store::{Page, StoredGrant},
};

pub(crate) struct NewGrant {
    pub(crate) resident: Uuid,
    pub(crate) partner: Uuid,
    pub(crate) device_id: String,
    pub(crate) windows: Vec<Window>,
    pub(crate) ends_at: Option<Timestamp>,
}

/// A device's address as callers know it.
type DeviceName = (Uuid, String);

impl App {
    pub(crate) async fn create_grant(
        &self,
        new: NewGrant,
    ) -> Result<(StoredGrant, DeviceName), Error> {
        for window in &new.windows {
            window.validate()?;
        }
        let resident = self.resident(new.resident).await?;
        let device = self
            .parts
            .store
            .device(new.partner, &new.device_id)
            .await?
            .ok_or(Error::NotFound(Noun::Device))?;
        let grant = StoredGrant {
            id: Uuid::now_v7(),
            resident: resident.id,
            device_uid: device.uid,
            windows: new.windows,
            ends_at: new.ends_at,
        };
        let telling = Entry {
            partner: Some(device.partner),
            site: Some(device.site),
            device: Some(device.id.clone()),
            who: Some(resident.audit_pseudonym),
            subject: Some(grant.id.to_string()),
            ..self.act("grant_created")
        };
        self.parts
            .store
            .insert_grant(grant.clone(), self.now_micros(), telling)
            .await?;
        Ok((grant, (device.partner, device.id)))
    }

    pub(crate) async fn list_grants(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<(StoredGrant, Option<DeviceName>)>, Error> {
        let grants = self.parts.store.list_grants(resident, page).await?;
        let uids = grants.iter().map(|grant| grant.device_uid).collect();
        let devices = self.parts.store.devices_by_uid(uids).await?;
        Ok(grants
            .into_iter()
            .map(|grant| {
                let device = devices.iter().find(|device| device.uid == grant.device_uid);
                let name = device.map(|device| (device.partner, device.id.clone()));
                (grant, name)
            })
            .collect())
    }

    pub(crate) async fn revoke_grant(&self, id: Uuid) -> Result<(), Error> {
        let telling = Entry {
            subject: Some(id.to_string()),
            ..self.act("grant_revoked")
        };
        if self.parts.store.delete_grant(id, telling).await? {
            Ok(())
        } else {
            Err(Error::NotFound(Noun::Grant))
        }
    }
}
