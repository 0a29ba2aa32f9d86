#[cfg(test)]
mod tests;

use audit_log::Entry;
use futures::FutureExt;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
    sea_query::{Expr, ExprTrait, LockType, OnConflict},
};
use uuid::Uuid;

use super::{
    NewEntry, NewExternalIds, ObjectId, Owner, Page, ResidentKey, Sealer, Store, entity,
    external_id, log,
    resident::{add_sites, held, there, touch},
};
use crate::{
    domain::{
        entry::Link,
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
    },
    error::{Error, Noun},
};

#[derive(Clone, Debug)]
pub(crate) struct Household {
    pub(crate) id: Uuid,
    pub(crate) site: Uuid,
    pub(crate) building: Option<Uuid>,
    pub(crate) unit: String,
    pub(crate) version: Version,
}

/// What is to change; none of each stays as it is.
pub(crate) struct HouseholdChange {
    pub(crate) building: Option<Option<Uuid>>,
    pub(crate) unit: Option<String>,
    pub(crate) external_ids: Option<NewExternalIds>,
    /// Of the household whose external ids were read.
    pub(crate) read: Version,
}

/// Who is to live where, or no more.
#[derive(Clone, Copy)]
pub(crate) struct Membership {
    pub(crate) household: Uuid,
    pub(crate) resident: Uuid,
}

impl From<entity::household::Model> for Household {
    fn from(row: entity::household::Model) -> Self {
        Self {
            id: row.id,
            site: row.site_id,
            building: row.building_id,
            unit: row.unit,
            version: Version(row.version),
        }
    }
}

impl Store {
    pub(crate) async fn insert_household(
        &self,
        new: Household,
        external_ids: ExternalIds,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        let external_ids =
            self.new_external_ids(of_household(new.id), &Owner::Nobody, &external_ids)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let site = entity::site::Entity::find_by_id(new.site)
                        .lock(LockType::KeyShare)
                        .one(txn)
                        .await?;
                    if site.is_none() {
                        return Err(Error::NotFound(Noun::Site));
                    }
                    check_building(txn, new.site, new.building).await?;
                    entity::household::Entity::insert(entity::household::ActiveModel {
                        id: Set(new.id),
                        site_id: Set(new.site),
                        building_id: Set(new.building),
                        unit: Set(new.unit),
                        version: Set(new.version.0),
                        created_at: Set(now),
                    })
                    .exec_without_returning(txn)
                    .await?;
                    external_id::insert(txn, external_ids).await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn household(&self, id: Uuid) -> Result<Option<Household>, Error> {
        let row = entity::household::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Household::from))
    }

    pub(crate) async fn list_households(
        &self,
        site: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Household>, Error> {
        use entity::household::{Column, Entity};
        let mut query = Entity::find().order_by_asc(Column::Id);
        if let Some(site) = site {
            query = query.filter(Column::SiteId.eq(site));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(Household::from).collect())
    }

    pub(crate) async fn update_household(
        &self,
        id: Uuid,
        if_match: IfMatch,
        change: HouseholdChange,
        telling: Entry,
    ) -> Result<Household, Error> {
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::household::{Column, Entity};
                    let mut row = held_household(txn, id).await?;
                    if_match.check(Version(row.version))?;
                    if let Some(new) = change.external_ids {
                        if change.read != Version(row.version) {
                            return Err(Error::Overtaken);
                        }
                        external_id::replace(txn, new).await?;
                    }
                    if let Some(building) = change.building {
                        check_building(txn, row.site_id, building).await?;
                        row.building_id = building;
                    }
                    if let Some(unit) = change.unit {
                        row.unit = unit;
                    }
                    row.version += 1;
                    Entity::update_many()
                        .col_expr(Column::BuildingId, Expr::value(row.building_id))
                        .col_expr(Column::Unit, Expr::value(row.unit.clone()))
                        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
                        .filter(Column::Id.eq(id))
                        .exec(txn)
                        .await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(Household::from(row))
                }
                .boxed()
            })
            .await
    }

    /// With its rights and payments.
    pub(crate) async fn delete_household(
        &self,
        id: Uuid,
        if_match: IfMatch,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let row = held_household(txn, id).await?;
                    if_match.check(Version(row.version))?;
                    if is_lived_in(txn, id).await? {
                        return Err(Error::InUse(Noun::Household));
                    }
                    end_rights(txn, id).await?;
                    external_id::forget(txn, Object::Household, vec![id]).await?;
                    entity::household::Entity::delete_by_id(id)
                        .exec(txn)
                        .await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Whether the resident has come to another site, of which the biometric store is then to be
    /// told. A member already stays one, and nothing is told of it.
    pub(crate) async fn add_member(&self, new: Membership, telling: Entry) -> Result<bool, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::household_member::{ActiveModel, Column, Entity};
                    let household = entity::household::Entity::find_by_id(new.household)
                        .lock(LockType::KeyShare)
                        .one(txn)
                        .await?
                        .ok_or(Error::NotFound(Noun::Household))?;
                    let resident = held(txn, new.resident).await?;
                    if resident.host_household_id.is_some() {
                        return Err(Error::InvalidField {
                            field: "resident_id",
                            detail: "is of a guest",
                        });
                    }
                    let added = Entity::insert(ActiveModel {
                        household_id: Set(new.household),
                        resident_id: Set(new.resident),
                    })
                    .on_conflict(
                        OnConflict::columns([Column::HouseholdId, Column::ResidentId])
                            .do_nothing()
                            .to_owned(),
                    )
                    .exec_without_returning(txn)
                    .await?;
                    let moved = add_sites(txn, resident.id, vec![household.site_id]).await?;
                    if added == 0 && !moved {
                        return Ok(false);
                    }
                    touch(txn, resident.id, moved).await?;
                    let telling = Entry {
                        who: Some(resident.audit_pseudonym),
                        site: Some(household.site_id),
                        ..telling
                    };
                    log::insert(
                        txn,
                        vec![joining(&store, &resident, household.id, telling)?],
                    )
                    .await?;
                    Ok(moved)
                }
                .boxed()
            })
            .await
    }

    /// Nothing is told of who is no member.
    pub(crate) async fn remove_member(&self, old: Membership, telling: Entry) -> Result<(), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::household_member::Entity;
                    let household = entity::household::Entity::find_by_id(old.household)
                        .one(txn)
                        .await?
                        .ok_or(Error::NotFound(Noun::Household))?;
                    let resident = held(txn, old.resident).await?;
                    let removed = Entity::delete_by_id((old.household, old.resident))
                        .exec(txn)
                        .await?;
                    if removed.rows_affected == 0 {
                        return Ok(());
                    }
                    touch(txn, resident.id, false).await?;
                    let telling = Entry {
                        who: Some(resident.audit_pseudonym),
                        site: Some(household.site_id),
                        ..telling
                    };
                    log::insert(
                        txn,
                        vec![joining(&store, &resident, household.id, telling)?],
                    )
                    .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// By resident, after the resident given.
    pub(crate) async fn list_members(
        &self,
        household: Uuid,
        page: Page,
    ) -> Result<Vec<Uuid>, Error> {
        use entity::household_member::{Column, Entity};
        let present = there().select_only().column(entity::resident::Column::Id);
        let mut query = Entity::find()
            .select_only()
            .column(Column::ResidentId)
            .filter(Column::HouseholdId.eq(household))
            .filter(Column::ResidentId.in_subquery(present.into_query()))
            .order_by_asc(Column::ResidentId);
        if let Some(after) = page.after {
            query = query.filter(Column::ResidentId.gt(after));
        }
        let members = query.limit(page.limit).into_tuple();
        Ok(members.all(&self.db.read).await?)
    }
}

fn of_household(id: Uuid) -> ObjectId {
    ObjectId {
        object: Object::Household,
        id,
    }
}

/// Who lives where leads from the name in logs to the person: it goes when the person does.
fn joining(
    store: &Store,
    resident: &entity::resident::Model,
    household: Uuid,
    telling: Entry,
) -> Result<NewEntry, Error> {
    let key = store.unwrap(resident.epoch, &resident.wrapped_key, resident.id)?;
    let link = Link::Household(household);
    store.new_entry(telling, Some((&link, Sealer::Resident(&ResidentKey(key)))))
}

/// The row, held until the transaction ends.
async fn held_household(
    txn: &DatabaseTransaction,
    id: Uuid,
) -> Result<entity::household::Model, Error> {
    let row = entity::household::Entity::find_by_id(id)
        .lock_exclusive()
        .one(txn)
        .await?;
    row.ok_or(Error::NotFound(Noun::Household))
}

async fn check_building(
    txn: &impl ConnectionTrait,
    site: Uuid,
    building: Option<Uuid>,
) -> Result<(), Error> {
    let Some(building) = building else {
        return Ok(());
    };
    let row = entity::building::Entity::find_by_id(building)
        .lock(LockType::KeyShare)
        .one(txn)
        .await?;
    match row {
        None => Err(Error::NotFound(Noun::Building)),
        Some(row) if row.site_id != site => Err(Error::InvalidField {
            field: "building_id",
            detail: "is of another site",
        }),
        Some(_) => Ok(()),
    }
}

async fn is_lived_in(txn: &impl ConnectionTrait, id: Uuid) -> Result<bool, Error> {
    use entity::{household_member, resident};
    let member = household_member::Entity::find()
        .filter(household_member::Column::HouseholdId.eq(id))
        .one(txn)
        .await?;
    let guest = there()
        .filter(resident::Column::HostHouseholdId.eq(id))
        .one(txn)
        .await?;
    Ok(member.is_some() || guest.is_some())
}

async fn end_rights(txn: &DatabaseTransaction, id: Uuid) -> Result<(), Error> {
    use entity::{grant, subscription};
    let held = grant::Column::HouseholdId.eq(id);
    let grants: Vec<Uuid> = grant::Entity::find()
        .select_only()
        .column(grant::Column::Id)
        .filter(held.clone())
        .into_tuple()
        .all(txn)
        .await?;
    external_id::forget(txn, Object::Grant, grants).await?;
    grant::Entity::delete_many().filter(held).exec(txn).await?;
    subscription::Entity::delete_many()
        .filter(subscription::Column::HouseholdId.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}
