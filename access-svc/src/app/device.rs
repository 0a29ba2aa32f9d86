//! Doors and barriers.

use audit_log::Entry;
use mesh::Caller;
use uuid::Uuid;

use super::{App, By, Named};
use crate::{
    domain::{
        device::{Device, DeviceName, check_device_id, check_time_zone},
        etag::IfMatch,
        external_id::{ExternalId, ExternalIds, Object},
        syntax::check_name,
    },
    error::{Error, Noun},
    store::{DeviceChange, DeviceFilter, Page},
};

impl App {
    pub(crate) async fn create_device(
        &self,
        device: Device,
        given: ExternalIds,
        by: &Caller,
    ) -> Result<Named<Device>, Error> {
        check_device_id(&device.id)?;
        check_name("name", &device.name, 100)?;
        check_time_zone(&device.time_zone)?;
        let external_ids = ExternalIds::default().replaced(given, by)?;
        self.partner(device.partner).await?;
        let telling = Entry {
            site: Some(device.site),
            ..self.of_device("device_created", device.partner, &device.id)
        };
        self.parts
            .store
            .insert_device(device.clone(), &external_ids, self.now_micros(), telling)
            .await?;
        Ok((device, external_ids))
    }

    pub(crate) async fn get_device(&self, name: DeviceName) -> Result<Named<Device>, Error> {
        let device = self.parts.store.device(name.partner, &name.id).await?;
        self.known_device(device).await
    }

    pub(crate) async fn get_device_called(
        &self,
        called: ExternalId,
    ) -> Result<Named<Device>, Error> {
        let uid = self.id_of(Object::Device, By::ExternalId(called)).await?;
        let device = self.parts.store.device_by_uid(uid).await?;
        self.known_device(device).await
    }

    pub(crate) async fn list_devices(
        &self,
        filter: DeviceFilter,
        page: Page,
    ) -> Result<Vec<Named<Device>>, Error> {
        let devices = self.parts.store.list_devices(filter, page).await?;
        self.named(Object::Device, devices, |device| device.uid)
            .await
    }

    pub(crate) async fn update_device(
        &self,
        name: DeviceName,
        change: DeviceChange,
    ) -> Result<Named<Device>, Error> {
        if let Some(name) = &change.common.name {
            check_name("name", name, 100)?;
        }
        if let Some(zone) = &change.time_zone {
            check_time_zone(zone)?;
        }
        let telling = self.of_device("device_updated", name.partner, &name.id);
        let store = &self.parts.store;
        let device = store
            .update_device(name.partner, name.id, change, telling)
            .await?;
        self.known_device(Some(device)).await
    }

    pub(crate) async fn delete_device(
        &self,
        name: DeviceName,
        if_match: IfMatch,
    ) -> Result<(), Error> {
        let telling = self.of_device("device_deleted", name.partner, &name.id);
        let store = &self.parts.store;
        store
            .delete_device(name.partner, name.id, if_match, telling)
            .await
    }

    pub(crate) async fn set_device_state(
        &self,
        partner: Uuid,
        id: String,
        disabled: bool,
    ) -> Result<Named<Device>, Error> {
        let code = if disabled {
            "device_disabled"
        } else {
            "device_enabled"
        };
        let telling = self.of_device(code, partner, &id);
        let store = &self.parts.store;
        let device = store
            .set_device_state(partner, id, disabled, telling)
            .await?;
        self.known_device(Some(device)).await
    }

    pub(super) async fn known_device(
        &self,
        device: Option<Device>,
    ) -> Result<Named<Device>, Error> {
        let device = device.ok_or(Error::NotFound(Noun::Device))?;
        let uid = device.uid;
        self.named_one(Object::Device, device, uid).await
    }

    fn of_device(&self, code: &str, partner: Uuid, id: &str) -> Entry {
        Entry {
            partner: Some(partner),
            device: Some(id.to_owned()),
            ..self.act(code)
        }
    }
}
