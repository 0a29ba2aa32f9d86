//! Devices that are granted together.

use std::collections::BTreeSet;

use audit_log::Entry;
use mesh::Caller;
use uuid::Uuid;

use super::{App, By, Named};
use crate::{
    domain::{
        device::{DeviceName, check_group, how_many_fit},
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
        syntax::check_name,
    },
    error::{Error, Noun},
    store::{DeviceGroup, DeviceGroupChange, Page},
};

/// With its devices, by the partners' ids of them.
pub(crate) type WholeGroup = (Named<DeviceGroup>, Vec<DeviceName>);

impl App {
    pub(crate) async fn create_device_group(
        &self,
        site: Uuid,
        name: String,
        devices: BTreeSet<DeviceName>,
        given: ExternalIds,
        by: &Caller,
    ) -> Result<WholeGroup, Error> {
        check_name("name", &name, 100)?;
        check_group(&devices)?;
        let external_ids = ExternalIds::default().replaced(given, by)?;
        let group = DeviceGroup {
            id: Uuid::now_v7(),
            site,
            name,
            version: Version::FIRST,
        };
        let telling = Entry {
            site: Some(site),
            ..self.of_group("device_group_created", group.id)
        };
        let now = self.now_micros();
        self.parts
            .store
            .insert_device_group(group.clone(), devices, &external_ids, now, telling)
            .await?;
        self.whole_group(group).await
    }

    pub(crate) async fn get_device_group(&self, by: By) -> Result<WholeGroup, Error> {
        let id = self.id_of(Object::DeviceGroup, by).await?;
        let group = self.parts.store.device_group(id).await?;
        self.whole_group(group.ok_or(Error::NotFound(Noun::DeviceGroup))?)
            .await
    }

    /// And the page as it came out: shorter where the groups are large.
    pub(crate) async fn list_device_groups(
        &self,
        site: Option<Uuid>,
        mut page: Page,
    ) -> Result<(Vec<WholeGroup>, Page), Error> {
        let store = &self.parts.store;
        let mut groups = store.list_device_groups(site, page).await?;
        let ids = |groups: &[DeviceGroup]| groups.iter().map(|group| group.id).collect();
        let sizes = store.group_sizes(ids(&groups)).await?;
        let size = |group: &DeviceGroup| sizes.get(&group.id).copied().unwrap_or_default();
        let fit = how_many_fit(groups.iter().map(size));
        if fit < groups.len() {
            // One more than are shown, as at the end of every page but the last.
            groups.truncate(fit + 1);
            page.limit = groups.len() as u64;
        }
        let mut devices = store.group_devices(ids(&groups)).await?;
        let groups = self
            .named(Object::DeviceGroup, groups, |group| group.id)
            .await?;
        let groups = groups.into_iter().map(|group| {
            let devices = devices.remove(&group.0.id).unwrap_or_default();
            (group, devices)
        });
        Ok((groups.collect(), page))
    }

    pub(crate) async fn update_device_group(
        &self,
        id: Uuid,
        change: DeviceGroupChange,
    ) -> Result<WholeGroup, Error> {
        if let Some(name) = &change.common.name {
            check_name("name", name, 100)?;
        }
        if let Some(devices) = &change.devices {
            check_group(devices)?;
        }
        let telling = self.of_group("device_group_updated", id);
        let store = &self.parts.store;
        let group = store.update_device_group(id, change, telling).await?;
        self.whole_group(group).await
    }

    pub(crate) async fn delete_device_group(
        &self,
        id: Uuid,
        if_match: IfMatch,
    ) -> Result<(), Error> {
        let telling = self.of_group("device_group_deleted", id);
        let store = &self.parts.store;
        store.delete_device_group(id, if_match, telling).await
    }

    async fn whole_group(&self, group: DeviceGroup) -> Result<WholeGroup, Error> {
        let id = group.id;
        let mut devices = self.parts.store.group_devices(vec![id]).await?;
        let group = self.named_one(Object::DeviceGroup, group, id).await?;
        Ok((group, devices.remove(&id).unwrap_or_default()))
    }

    fn of_group(&self, code: &str, group: Uuid) -> Entry {
        Entry {
            subject: Some(group.to_string()),
            ..self.act(code)
        }
    }
}
