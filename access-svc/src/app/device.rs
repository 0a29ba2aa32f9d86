//! Doors and barriers.

use audit_log::Entry;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        device::{Device, check_time_zone},
        syntax::{check_name, is_partner_id},
    },
    error::Error,
    store::Page,
};

impl App {
    pub(crate) async fn create_device(&self, device: Device) -> Result<Device, Error> {
        if !is_partner_id(&device.id) {
            return Err(Error::InvalidField {
                field: "device_id",
                detail: "must be 1 to 128 of [A-Za-z0-9._:-]",
            });
        }
        // In a partner's URL they would mean another path.
        if matches!(device.id.as_str(), "." | "..") {
            return Err(Error::InvalidField {
                field: "device_id",
                detail: "must not be . or ..",
            });
        }
        check_name("name", &device.name, 100)?;
        check_time_zone(&device.time_zone)?;
        self.partner(device.partner).await?;
        self.check_sites(&[device.site]).await?;
        let telling = Entry {
            partner: Some(device.partner),
            site: Some(device.site),
            device: Some(device.id.clone()),
            ..self.act("device_created")
        };
        self.parts
            .store
            .insert_device(device.clone(), self.now_micros(), telling)
            .await?;
        Ok(device)
    }

    pub(crate) async fn list_devices(
        &self,
        partner: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Device>, Error> {
        self.parts.store.list_devices(partner, page).await
    }

    pub(crate) async fn set_device_state(
        &self,
        partner: Uuid,
        id: String,
        disabled: bool,
    ) -> Result<Device, Error> {
        let code = if disabled {
            "device_disabled"
        } else {
            "device_enabled"
        };
        let telling = Entry {
            partner: Some(partner),
            device: Some(id.clone()),
            ..self.act(code)
        };
        self.parts
            .store
            .set_device_state(partner, id, disabled, telling)
            .await
    }
}
