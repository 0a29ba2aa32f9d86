//! Devices by their partners' own ids, for those of about the same time at once.

use std::{collections::HashMap, sync::Arc};

use mesh::db::Db;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, sea_query::ExprTrait};
use uuid::Uuid;

use crate::{
    domain::device::Device,
    error::Error,
    store::{Reads, Store, entity, padded, read_together},
};

/// A partner, and its own id of a device.
type Name = (Uuid, String);

pub(in crate::store) type Devices = Reads<Name, Option<Device>>;

pub(in crate::store) fn devices(db: Db) -> Devices {
    read_together(db, find_all)
}

impl Store {
    /// By the partner's own id.
    pub(crate) async fn device(&self, partner: Uuid, id: &str) -> Result<Option<Device>, Error> {
        let found = self.devices.submit((partner, id.to_owned())).await;
        found.unwrap_or(Err(Error::GivenUp))
    }
}

async fn find_all(db: Db, names: Vec<Arc<Name>>) -> Result<Vec<Option<Device>>, Error> {
    use entity::device::{Column, Entity};
    let mut named = Condition::any();
    for name in padded(names.iter()) {
        let (partner, id) = &**name;
        let it = Column::PartnerId
            .eq(*partner)
            .and(Column::DeviceId.eq(id.as_str()));
        named = named.add(it);
    }
    let rows = Entity::find().filter(named).all(&db.read).await?;
    let found: HashMap<Name, Device> = rows
        .into_iter()
        .map(Device::from)
        .map(|device| ((device.partner, device.id.clone()), device))
        .collect();
    Ok(names
        .iter()
        .map(|name| found.get(&**name).cloned())
        .collect())
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::store::testing::place;

    #[tokio::test]
    async fn each_of_a_group_gets_its_own_device() {
        let place = place().await;
        let (one, other) = (place.partner().await, place.partner().await);
        let (mut asked, mut wanted) = (Vec::new(), Vec::new());
        for partner in [one, other, one] {
            let uid = place.door(partner, Uuid::new_v4()).await;
            let stranger = if partner == one { other } else { one };
            // The other partner's of the same id is none.
            asked.extend([(partner, uid.to_string()), (stranger, uid.to_string())]);
            wanted.extend([Some(uid), None]);
        }
        asked.push(asked[0].clone());
        wanted.push(wanted[0]);
        let store = &place.store;
        let found = join_all(asked.iter().map(|(partner, id)| store.device(*partner, id))).await;
        let found: Vec<Option<Uuid>> = found
            .into_iter()
            .map(|device| device.expect("asked").map(|device| device.uid))
            .collect();
        assert_eq!(found, wanted);
    }
}
