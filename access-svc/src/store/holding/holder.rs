//! Who holds what was shown: a vehicle by its plate, a key or a fob by its id.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use mesh::clock::to_micros;
use sea_orm::{
    ColumnTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef,
    sea_query::ExprTrait,
};
use uuid::Uuid;

use super::Holding;
use crate::{
    domain::plate::Plate,
    error::Error,
    store::{Resident, Sought, Store, entity, resident::there},
};

impl Store {
    /// The resident of these sites who holds this vehicle now, and has held it
    /// longest.
    pub(crate) async fn vehicle_holder(
        &self,
        plate: &Plate,
        sites: &[Uuid],
        now: Timestamp,
    ) -> Result<Option<Resident>, Error> {
        let sought = Sought::plate(plate);
        let mut holder = self.holder_now(&sought, sites, now).await?;
        if holder.is_none() && self.learns_epoch().await? {
            holder = self.holder_now(&sought, sites, now).await?;
        }
        Ok(holder)
    }

    async fn holder_now(
        &self,
        sought: &Sought,
        sites: &[Uuid],
        now: Timestamp,
    ) -> Result<Option<Resident>, Error> {
        use entity::{holding, resident, resident_site};
        let holds: RelationDef = resident::Entity::belongs_to(holding::Entity)
            .from(resident::Column::Id)
            .to(holding::Column::ResidentId)
            .into();
        let lives: RelationDef = resident::Entity::belongs_to(resident_site::Entity)
            .from(resident::Column::Id)
            .to(resident_site::Column::ResidentId)
            .into();
        let row = there()
            .join(JoinType::InnerJoin, holds)
            .join(JoinType::InnerJoin, lives)
            .filter(holding::Column::Lookup.is_in(sought.hashes(&self.keyring)))
            .filter(holding::Column::HeldFrom.lte(to_micros(now)))
            .filter(
                holding::Column::HeldTo
                    .is_null()
                    .or(holding::Column::HeldTo.gt(to_micros(now))),
            )
            .filter(resident_site::Column::SiteId.is_in(sites.iter().copied()))
            .filter(
                resident::Column::GuestUntil
                    .is_null()
                    .or(resident::Column::GuestUntil.gt(to_micros(now))),
            )
            .order_by_asc(holding::Column::HeldFrom)
            .order_by_asc(holding::Column::Id)
            .one(&self.db.read)
            .await?;
        Ok(row.as_ref().map(Resident::from))
    }

    /// Who held each of these at any time, in their order; each among its sites.
    pub(crate) async fn credential_holdings(
        &self,
        sought: &[(Sought, &[Uuid])],
    ) -> Result<Vec<Vec<Holding>>, Error> {
        let mut found = self.holdings_of(sought).await?;
        if found.iter().any(Vec::is_empty) && self.learns_epoch().await? {
            found = self.holdings_of(sought).await?;
        }
        Ok(found)
    }

    async fn holdings_of(&self, sought: &[(Sought, &[Uuid])]) -> Result<Vec<Vec<Holding>>, Error> {
        use entity::holding::Column;
        let hashes: Vec<Vec<Vec<u8>>> = sought
            .iter()
            .map(|(sought, _)| sought.hashes(&self.keyring))
            .collect();
        let all: HashSet<&Vec<u8>> = hashes.iter().flatten().collect();
        let rows = entity::holding::Entity::find()
            .filter(Column::Lookup.is_in(all.into_iter().cloned()))
            .all(&self.db.read)
            .await?;
        let mut found: HashMap<Vec<u8>, Vec<(Uuid, Holding)>> = HashMap::new();
        for row in rows {
            // A vehicle has no site, and is not sought here.
            if let Some(site) = row.site_id {
                let lookup = row.lookup.clone();
                found.entry(lookup).or_default().push((site, row.into()));
            }
        }
        let sites = sought.iter().map(|(_, sites)| *sites);
        let of = |(hashes, sites): (&Vec<Vec<u8>>, &[Uuid])| -> Vec<Holding> {
            let all = hashes.iter().filter_map(|hash| found.get(hash)).flatten();
            let here = all.filter(|(site, _)| sites.contains(site));
            here.map(|(_, holding)| holding.clone()).collect()
        };
        Ok(hashes.iter().zip(sites).map(of).collect())
    }

    /// Whether another replica hashes under an epoch that this one had yet to
    /// read: what was not found may be there.
    pub(crate) async fn learns_epoch(&self) -> Result<bool, Error> {
        use entity::holding::Column;
        let newer = entity::holding::Entity::find()
            .select_only()
            .column(Column::LookupEpoch)
            .filter(Column::LookupEpoch.gt(self.keyring.current().id))
            .into_tuple::<i64>()
            .one(&self.db.read)
            .await?;
        let Some(epoch) = newer else {
            return Ok(false);
        };
        self.keyring.epoch(epoch)?;
        Ok(true)
    }
}
