//! Where residents are recognised, and how far the biometric store knows of it.

use std::collections::{BTreeSet, HashMap};

use futures::FutureExt;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, LockType, OnConflict},
};
use uuid::Uuid;

use super::{Page, Store, entity, there};
use crate::{
    domain::etag::Version,
    error::{Error, Noun},
};

/// In which galleries the biometric store is to search for a resident.
pub(crate) struct Galleries {
    pub(crate) subject: Uuid,
    pub(crate) sites: Vec<Uuid>,
    /// Of the resident, as these were read.
    pub(crate) version: Version,
}

impl Store {
    pub(crate) async fn galleries(&self, resident: Uuid) -> Result<Option<Galleries>, Error> {
        // The row first: sites that change after it has been read have another version.
        let Some(resident) = self.resident(resident).await? else {
            return Ok(None);
        };
        let mut sites = sites_of(&self.db.read, vec![resident.id]).await?;
        Ok(Some(Galleries {
            subject: resident.subject,
            sites: sites.remove(&resident.id).unwrap_or_default(),
            version: resident.version,
        }))
    }

    /// Residents of whose sites the biometric store has yet to hear.
    pub(crate) async fn pending_galleries(&self, page: Page) -> Result<Vec<Uuid>, Error> {
        use entity::resident::Column;
        let mut query = there()
            .select_only()
            .column(Column::Id)
            .filter(Column::GalleriesPending.eq(true))
            .order_by_asc(Column::Id);
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        Ok(query
            .limit(page.limit)
            .into_tuple()
            .all(&self.db.read)
            .await?)
    }

    /// The biometric store knows the resident's sites as they were at that version; none where it
    /// is not known what it knows. Unless it is the current one, it is to be told again.
    pub(crate) async fn settle_galleries(
        &self,
        resident: Uuid,
        told: Option<Version>,
    ) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| async move { settle(txn, resident, told).await }.boxed())
            .await
    }
}

pub(in crate::store) async fn settle(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    told: Option<Version>,
) -> Result<(), Error> {
    use entity::resident::{Column, Entity};
    let is_outdated = match told {
        Some(version) => Expr::col(Column::Version).ne(version.0),
        None => Expr::value(true),
    };
    Entity::update_many()
        .col_expr(Column::GalleriesPending, is_outdated)
        .filter(Column::Id.eq(resident))
        .exec(txn)
        .await?;
    Ok(())
}

/// By resident, in the order of their ids.
pub(in crate::store) async fn sites_of(
    db: &impl ConnectionTrait,
    residents: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<Uuid>>, Error> {
    use entity::resident_site::{Column, Entity};
    let mut sites: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    if residents.is_empty() {
        return Ok(sites);
    }
    let rows = Entity::find()
        .filter(Column::ResidentId.is_in(residents))
        .order_by_asc(Column::SiteId)
        .all(db)
        .await?;
    for row in rows {
        sites.entry(row.resident_id).or_default().push(row.site_id);
    }
    Ok(sites)
}

/// Of which households they are members, by resident.
pub(in crate::store) async fn households_of(
    db: &impl ConnectionTrait,
    residents: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<Uuid>>, Error> {
    use entity::household_member::{Column, Entity};
    let mut households: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    if residents.is_empty() {
        return Ok(households);
    }
    let rows = Entity::find()
        .filter(Column::ResidentId.is_in(residents))
        .order_by_asc(Column::HouseholdId)
        .all(db)
        .await?;
    for row in rows {
        let of = households.entry(row.resident_id).or_default();
        of.push(row.household_id);
    }
    Ok(households)
}

/// Where these households are. Until the transaction ends they stay.
pub(in crate::store) async fn sites_of_households(
    txn: &impl ConnectionTrait,
    households: &BTreeSet<Uuid>,
) -> Result<BTreeSet<Uuid>, Error> {
    use entity::household::{Column, Entity};
    if households.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sites: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::SiteId)
        .filter(Column::Id.is_in(households.iter().copied()))
        .order_by_asc(Column::Id)
        .lock(LockType::KeyShare)
        .into_tuple()
        .all(txn)
        .await?;
    if sites.len() < households.len() {
        return Err(Error::NotFound(Noun::Household));
    }
    Ok(sites.into_iter().collect())
}

/// Refuses sites that are absent. Until the transaction ends they stay.
pub(in crate::store) async fn check_sites(
    txn: &impl ConnectionTrait,
    sites: &BTreeSet<Uuid>,
) -> Result<(), Error> {
    use entity::site::{Column, Entity};
    if !(1..=100).contains(&sites.len()) {
        return Err(Error::InvalidField {
            field: "site_ids",
            detail: "must name 1 to 100 sites",
        });
    }
    let found: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(sites.iter().copied()))
        .order_by_asc(Column::Id)
        .lock(LockType::KeyShare)
        .into_tuple()
        .all(txn)
        .await?;
    if found.len() < sites.len() {
        return Err(Error::NotFound(Noun::Site));
    }
    Ok(())
}

/// Whether any of them is new.
pub(in crate::store) async fn add_sites(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    sites: Vec<Uuid>,
) -> Result<bool, Error> {
    use entity::resident_site::{ActiveModel, Column, Entity};
    let rows: Vec<ActiveModel> = sites
        .into_iter()
        .map(|site| ActiveModel {
            resident_id: Set(resident),
            site_id: Set(site),
        })
        .collect();
    if rows.is_empty() {
        return Ok(false);
    }
    let added = Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([Column::ResidentId, Column::SiteId])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(added > 0)
}

/// The resident has changed; where the sites have, the biometric store is to be told.
pub(in crate::store) async fn touch(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    sites_changed: bool,
) -> Result<(), Error> {
    use entity::resident::{Column, Entity};
    let mut update = Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.eq(resident));
    if sites_changed {
        update = update.col_expr(Column::GalleriesPending, Expr::value(true));
    }
    update.exec(txn).await?;
    Ok(())
}
