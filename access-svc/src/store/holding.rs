use std::collections::{HashMap, HashSet};

use audit_log::Entry;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Page, Resident, ResidentKey, Sought, Store, context, entity, log, resident::check_present,
};
use crate::{
    domain::{
        event::{CredentialKind, HoldingKind},
        plate::Plate,
    },
    error::{Error, Noun},
};

pub(super) const VALUE: &str = "holding value";

#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) id: Uuid,
    pub(crate) resident: Uuid,
    pub(crate) kind: HoldingKind,
    pub(crate) held_from: Timestamp,
    pub(crate) held_to: Option<Timestamp>,
}

/// What a resident comes to hold.
pub(crate) enum NewHolding {
    Vehicle(Plate),
    Credential {
        partner: Uuid,
        kind: CredentialKind,
        id: Zeroizing<String>,
        site: Uuid,
    },
}

impl From<entity::holding::Model> for Holding {
    fn from(row: entity::holding::Model) -> Self {
        Self {
            id: row.id,
            resident: row.resident_id,
            kind: HoldingKind::from_code(row.kind),
            held_from: from_micros(row.held_from),
            held_to: row.held_to.map(from_micros),
        }
    }
}

impl Store {
    pub(crate) async fn insert_holding(
        &self,
        resident: Uuid,
        key: &ResidentKey,
        new: NewHolding,
        held_from: Timestamp,
        telling: Entry,
    ) -> Result<Holding, Error> {
        let id = Uuid::now_v7();
        let telling = Entry {
            subject: Some(id.to_string()),
            ..telling
        };
        let telling = self.new_entry(telling, None)?;
        let (kind, site, sought) = match &new {
            NewHolding::Vehicle(plate) => (HoldingKind::Vehicle, None, Sought::plate(plate)),
            NewHolding::Credential {
                partner,
                kind,
                id,
                site,
            } => (
                HoldingKind::from(*kind),
                Some(*site),
                Sought::credential(*partner, *kind, id),
            ),
        };
        let epoch = self.keyring.current();
        let sealed = key.0.seal(sought.bytes(), &context(VALUE, id))?;
        let row = entity::holding::ActiveModel {
            id: Set(id),
            resident_id: Set(resident),
            kind: Set(kind.code()),
            site_id: Set(site),
            lookup: Set(sought.hash(&epoch)),
            lookup_epoch: Set(epoch.id),
            sealed: Set(sealed),
            held_from: Set(to_micros(held_from)),
            held_to: Set(None),
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    check_present(txn, resident).await?;
                    let inserted = entity::holding::Entity::insert(row);
                    inserted.exec_without_returning(txn).await?;
                    log::insert(txn, vec![telling]).await?;
                    let row = entity::holding::Entity::find_by_id(id).one(txn).await?;
                    row.map(Holding::from).ok_or(Error::NotFound(Noun::Holding))
                }
                .boxed()
            })
            .await
    }

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
        let row = resident::Entity::find()
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
            .filter(resident::Column::Erasing.eq(false))
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
    async fn learns_epoch(&self) -> Result<bool, Error> {
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

    pub(crate) async fn list_holdings(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Holding>, Error> {
        use entity::holding::Column;
        let mut query = entity::holding::Entity::find().order_by_asc(Column::Id);
        if let Some(resident) = resident {
            query = query.filter(Column::ResidentId.eq(resident));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(Holding::from).collect())
    }

    /// Ends a holding now; one that has ended keeps its end.
    pub(crate) async fn end_holding(
        &self,
        id: Uuid,
        now: Timestamp,
        telling: Entry,
    ) -> Result<Holding, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::holding::Column;
                    let ended = entity::holding::Entity::update_many()
                        .col_expr(Column::HeldTo, Expr::value(to_micros(now)))
                        .filter(Column::Id.eq(id).and(Column::HeldTo.is_null()))
                        .exec(txn)
                        .await?;
                    let row = entity::holding::Entity::find_by_id(id).one(txn).await?;
                    let row = row.ok_or(Error::NotFound(Noun::Holding))?;
                    if ended.rows_affected > 0 {
                        let who = log::name_in_logs(txn, row.resident_id).await?;
                        let telling = store.new_entry(Entry { who, ..telling }, None)?;
                        log::insert(txn, vec![telling]).await?;
                    }
                    Ok(Holding::from(row))
                }
                .boxed()
            })
            .await
    }
}

#[cfg(test)]
mod tests;
