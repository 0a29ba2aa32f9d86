//! Who holds what was shown: a vehicle by its plate, a key or a fob by its id.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use mesh::{clock::to_micros, db::Db};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, RelationDef, sea_query::ExprTrait,
};
use uuid::Uuid;

use super::Holding;
use crate::{
    domain::plate::Plate,
    error::Error,
    store::{
        Reads, Resident, ResidentKey, Sought, Store, entity, padded, read_together, resident::there,
    },
};

/// Who holds a vehicle.
pub(crate) struct Holder {
    pub(crate) resident: Resident,
    pub(crate) key: ResidentKey,
}

pub(in crate::store) struct Lookup {
    hashes: Vec<Vec<u8>>,
    sites: Vec<Uuid>,
    /// As the database counts.
    now: i64,
}

pub(in crate::store) type Holders = Reads<Lookup, Option<entity::resident::Model>>;

pub(in crate::store) fn holders(db: Db) -> Holders {
    read_together(db, holders_now)
}

/// A holding's holder at one of the holder's sites.
struct Found {
    resident: entity::resident::Model,
    lookup: Vec<u8>,
    from: i64,
    to: Option<i64>,
    site: Uuid,
}

impl FromQueryResult for Found {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self {
            resident: entity::resident::Model::from_query_result(row, prefix)?,
            lookup: row.try_get(prefix, "held_lookup")?,
            from: row.try_get(prefix, "held_since")?,
            to: row.try_get(prefix, "held_until")?,
            site: row.try_get(prefix, "lives_at")?,
        })
    }
}

impl Found {
    fn answers(&self, asked: &Lookup) -> bool {
        let is_ahead = |end: Option<i64>| end.is_none_or(|end| end > asked.now);
        asked.hashes.contains(&self.lookup)
            && asked.sites.contains(&self.site)
            && self.from <= asked.now
            && is_ahead(self.to)
            && is_ahead(self.resident.guest_until)
    }
}

/// Of each vehicle, who holds it; in their order.
async fn holders_now(
    db: Db,
    group: Vec<Arc<Lookup>>,
) -> Result<Vec<Option<entity::resident::Model>>, Error> {
    use entity::{holding, resident, resident_site};
    let holds: RelationDef = resident::Entity::belongs_to(holding::Entity)
        .from(resident::Column::Id)
        .to(holding::Column::ResidentId)
        .into();
    let lives: RelationDef = resident::Entity::belongs_to(resident_site::Entity)
        .from(resident::Column::Id)
        .to(resident_site::Column::ResidentId)
        .into();
    let hashes: BTreeSet<&Vec<u8>> = group.iter().flat_map(|one| &one.hashes).collect();
    let earliest = group.iter().map(|one| one.now).min().unwrap_or_default();
    let latest = group.iter().map(|one| one.now).max().unwrap_or_default();
    let found = there()
        .column_as(holding::Column::Lookup, "held_lookup")
        .column_as(holding::Column::HeldFrom, "held_since")
        .column_as(holding::Column::HeldTo, "held_until")
        .column_as(resident_site::Column::SiteId, "lives_at")
        .join(JoinType::InnerJoin, holds)
        .join(JoinType::InnerJoin, lives)
        .filter(holding::Column::Lookup.is_in(padded(hashes.into_iter().cloned())))
        .filter(holding::Column::HeldFrom.lte(latest))
        .filter(
            holding::Column::HeldTo
                .is_null()
                .or(holding::Column::HeldTo.gt(earliest)),
        )
        .filter(
            resident::Column::GuestUntil
                .is_null()
                .or(resident::Column::GuestUntil.gt(earliest)),
        )
        .order_by_asc(holding::Column::HeldFrom)
        .order_by_asc(holding::Column::Id)
        .into_model::<Found>()
        .all(&db.read)
        .await?;
    let holder = |asked: &Arc<Lookup>| {
        let found = found.iter().find(|found| found.answers(asked));
        found.map(|found| found.resident.clone())
    };
    Ok(group.iter().map(holder).collect())
}

impl Store {
    /// The resident of these sites who holds this vehicle now, and has held it
    /// longest.
    pub(crate) async fn vehicle_holder(
        &self,
        plate: &Plate,
        sites: &[Uuid],
        now: Timestamp,
    ) -> Result<Option<Holder>, Error> {
        let sought = Sought::plate(plate);
        let mut row = self.holder_now(&sought, sites, now).await?;
        if row.is_none() && self.learns_epoch().await? {
            row = self.holder_now(&sought, sites, now).await?;
        }
        let Some(row) = row else {
            return Ok(None);
        };
        let key = self.unwrap(row.epoch, &row.wrapped_key, row.id)?;
        Ok(Some(Holder {
            resident: Resident::from(&row),
            key: ResidentKey(key),
        }))
    }

    async fn holder_now(
        &self,
        sought: &Sought,
        sites: &[Uuid],
        now: Timestamp,
    ) -> Result<Option<entity::resident::Model>, Error> {
        let lookup = Lookup {
            hashes: sought.hashes(&self.keyring),
            sites: sites.to_vec(),
            now: to_micros(now),
        };
        let found = self.holders.submit(lookup).await;
        found.unwrap_or(Err(Error::GivenUp))
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
