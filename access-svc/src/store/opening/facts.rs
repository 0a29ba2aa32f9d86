//! What decisions look at, read at once for those of about the same time.

use std::{collections::HashMap, sync::Arc};

use mesh::db::Db;
use sea_orm::{ColumnTrait, EntityTrait, JoinType, QueryFilter, QuerySelect, RelationDef};
use uuid::Uuid;

use crate::{
    domain::{
        decision::{Grant, Subscription},
        device::{Device, DeviceKind},
        passage::Passage,
    },
    error::Error,
    store::{
        Reads, Resident, Site, Store, entity, grant::grants_on, padded, read_together,
        subscription::subscriptions_of,
    },
};

/// A device with the orders in force, and the rights of who stands before it.
pub(crate) struct Known {
    pub(crate) device: Device,
    /// The site's; the device has its own.
    pub(crate) site: Passage,
    pub(crate) grants: Vec<Grant>,
    /// Of every household through which the service may be paid.
    pub(crate) subscriptions: Vec<Subscription>,
}

pub(in crate::store) struct Asked {
    device: Uuid,
    site: Uuid,
    kind: DeviceKind,
    /// None for nobody known, who has no rights.
    resident: Option<Resident>,
}

pub(in crate::store) type KnownReads = Reads<Asked, Option<Known>>;

pub(in crate::store) fn known(db: Db) -> KnownReads {
    read_together(db, read_all)
}

impl Store {
    /// As it is by now: what was ordered since the device was read counts. None once the device
    /// is gone.
    pub(crate) async fn known(
        &self,
        device: &Device,
        resident: Option<&Resident>,
    ) -> Result<Option<Known>, Error> {
        let asked = Asked {
            device: device.uid,
            site: device.site,
            kind: device.kind,
            resident: resident.cloned(),
        };
        let known = self.known.submit(asked).await;
        known.unwrap_or(Err(Error::GivenUp))
    }
}

async fn read_all(db: Db, group: Vec<Arc<Asked>>) -> Result<Vec<Option<Known>>, Error> {
    let (mut before, mut paying) = (Vec::new(), Vec::new());
    for one in &group {
        if let Some(resident) = &one.resident {
            before.push((resident, one.device));
            paying.push((resident, one.site, one.kind));
        }
    }
    let uids: Vec<Uuid> = group.iter().map(|one| one.device).collect();
    let (places, grants, subscriptions) = tokio::try_join!(
        places(&db, uids),
        grants_on(&db, &before),
        subscriptions_of(&db, &paying),
    )?;
    let mut rights = grants.into_iter().zip(subscriptions);
    let known = |one: &Arc<Asked>| {
        let known = one.resident.as_ref().and_then(|_| rights.next());
        let (grants, subscriptions) = known.unwrap_or_default();
        let (device, site) = places.get(&one.device)?.clone();
        Some(Known {
            device,
            site,
            grants,
            subscriptions,
        })
    };
    Ok(group.iter().map(known).collect())
}

/// Devices with their sites' orders, by our ids.
async fn places(db: &Db, mut uids: Vec<Uuid>) -> Result<HashMap<Uuid, (Device, Passage)>, Error> {
    use entity::{device, site};
    uids.sort();
    uids.dedup();
    let stands: RelationDef = device::Entity::belongs_to(site::Entity)
        .from(device::Column::SiteId)
        .to(site::Column::Id)
        .into();
    let rows = device::Entity::find()
        .join(JoinType::LeftJoin, stands)
        .filter(device::Column::Uid.is_in(padded(uids)))
        .select_also(site::Entity)
        .all(&db.read)
        .await?;
    rows.into_iter()
        .map(|(device, site)| {
            let site = site.map(Site::from).ok_or(Error::Corrupt("device site"))?;
            Ok((device.uid, (Device::from(device), site.passage)))
        })
        .collect()
}

#[cfg(test)]
mod tests;
