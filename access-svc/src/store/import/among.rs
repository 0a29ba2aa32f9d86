//! What rows refer to, looked up in bulk.

use std::collections::{BTreeSet, HashMap, HashSet};

use mesh::clock::from_micros;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect,
    QueryTrait,
};
use uuid::Uuid;

use super::{Alone, IDS, ROWS};
use crate::{
    domain::holding::Held,
    error::Error,
    store::{
        Store,
        entity::{
            building, device, device_group, entrance, holding, household, partner, resident, site,
        },
    },
};

/// A device as its rows and its entries name it.
#[derive(Clone, Debug)]
pub(crate) struct DeviceAt {
    pub(crate) uid: Uuid,
    pub(crate) partner: Uuid,
    pub(crate) id: String,
    pub(crate) site: Uuid,
}

impl From<device::Model> for DeviceAt {
    fn from(row: device::Model) -> Self {
        Self {
            uid: row.uid,
            partner: row.partner_id,
            id: row.device_id,
            site: row.site_id,
        }
    }
}

impl Store {
    /// Which of these are held for a part of the span, in their order.
    pub(crate) async fn held_already(&self, alone: &[Alone]) -> Result<Vec<bool>, Error> {
        Ok(taken(&self.db.read, alone).await?)
    }

    pub(crate) async fn partners_among(&self, ids: Vec<Uuid>) -> Result<HashSet<Uuid>, Error> {
        let rows = rows_of::<partner::Entity>(&self.db.read, partner::Column::Id, ids).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    pub(crate) async fn sites_among(&self, ids: Vec<Uuid>) -> Result<HashSet<Uuid>, Error> {
        let rows = rows_of::<site::Entity>(&self.db.read, site::Column::Id, ids).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// With the site of each.
    pub(crate) async fn buildings_among(
        &self,
        ids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Uuid>, Error> {
        let rows = rows_of::<building::Entity>(&self.db.read, building::Column::Id, ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.site_id)).collect())
    }

    /// With the site of each.
    pub(crate) async fn entrances_among(
        &self,
        ids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Uuid>, Error> {
        let rows = rows_of::<entrance::Entity>(&self.db.read, entrance::Column::Id, ids).await?;
        let buildings: BTreeSet<Uuid> = rows.iter().map(|row| row.building_id).collect();
        let sites = self
            .buildings_among(buildings.into_iter().collect())
            .await?;
        let with_site = |row: &entrance::Model| Some((row.id, *sites.get(&row.building_id)?));
        Ok(rows.iter().filter_map(with_site).collect())
    }

    pub(crate) async fn devices_among(
        &self,
        uids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, DeviceAt>, Error> {
        let rows = rows_of::<device::Entity>(&self.db.read, device::Column::Uid, uids).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.uid, DeviceAt::from(row)))
            .collect())
    }

    /// Of these partners' names of devices those that are taken.
    pub(crate) async fn devices_named(
        &self,
        names: &[(Uuid, String)],
    ) -> Result<HashMap<(Uuid, String), DeviceAt>, Error> {
        let mut found = HashMap::new();
        for some in names.chunks(ROWS) {
            let partners: BTreeSet<Uuid> = some.iter().map(|(partner, _)| *partner).collect();
            let rows = device::Entity::find()
                .filter(device::Column::PartnerId.is_in(partners))
                .filter(device::Column::DeviceId.is_in(some.iter().map(|(_, id)| id.clone())))
                .all(&self.db.read)
                .await?;
            found.extend(rows.into_iter().map(|row| {
                let at = DeviceAt::from(row);
                ((at.partner, at.id.clone()), at)
            }));
        }
        Ok(found)
    }

    /// With the site of each.
    pub(crate) async fn device_groups_among(
        &self,
        ids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Uuid>, Error> {
        let id = device_group::Column::Id;
        let rows = rows_of::<device_group::Entity>(&self.db.read, id, ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.site_id)).collect())
    }

    /// With the site of each.
    pub(crate) async fn households_among(
        &self,
        ids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Uuid>, Error> {
        let rows = rows_of::<household::Entity>(&self.db.read, household::Column::Id, ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.site_id)).collect())
    }

    /// With the name in logs of each who is not being erased and has not ended as a guest.
    pub(crate) async fn residents_among(
        &self,
        ids: Vec<Uuid>,
        now: i64,
    ) -> Result<HashMap<Uuid, Uuid>, Error> {
        let rows = rows_of::<resident::Entity>(&self.db.read, resident::Column::Id, ids).await?;
        Ok(rows
            .into_iter()
            .filter(|row| !row.erasing && row.guest_until.is_none_or(|end| end > now))
            .map(|row| (row.id, row.audit_pseudonym))
            .collect())
    }
}

async fn rows_of<E: EntityTrait>(
    db: &DatabaseConnection,
    id: E::Column,
    ids: Vec<Uuid>,
) -> Result<Vec<E::Model>, DbErr> {
    let mut rows = Vec::new();
    for some in ids.chunks(IDS) {
        let found = E::find().filter(id.is_in(some.iter().copied()));
        rows.extend(found.all(db).await?);
    }
    Ok(rows)
}

pub(super) async fn taken(db: &impl ConnectionTrait, alone: &[Alone]) -> Result<Vec<bool>, DbErr> {
    use holding::{Column, Entity};
    // What somebody who is being erased held is free.
    let present = resident::Entity::find()
        .select_only()
        .column(resident::Column::Id)
        .filter(resident::Column::Erasing.eq(false))
        .into_query();
    let mut found: HashMap<Vec<u8>, Vec<(Uuid, Held)>> = HashMap::new();
    for some in alone.chunks(ROWS) {
        let hashes = some.iter().flat_map(|one| one.hashes.iter().cloned());
        let rows = Entity::find()
            .filter(Column::Lookup.is_in(hashes))
            .filter(Column::ResidentId.in_subquery(present.clone()))
            .all(db)
            .await?;
        for row in rows {
            // One that was ended before it began is nobody's.
            if row.held_to.is_some_and(|to| to <= row.held_from) {
                continue;
            }
            let held = Held {
                from: from_micros(row.held_from),
                to: row.held_to.map(from_micros),
            };
            let holders = found.entry(row.lookup).or_default();
            holders.push((row.resident_id, held));
        }
    }
    let is_taken = |one: &Alone| {
        let holders = one.hashes.iter().filter_map(|hash| found.get(hash));
        holders.flatten().any(|(resident, other)| {
            one.resident.is_none_or(|one| one == *resident) && other.overlaps(one.held)
        })
    };
    Ok(alone.iter().map(is_taken).collect())
}
