//! All of it in one transaction.

use std::collections::BTreeSet;

use futures::FutureExt;
use mesh::db::is_unique_violation;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, LockType, OnConflict},
};
use uuid::Uuid;

use super::{IDS, Needed, NewObjects, ROWS, among::taken};
use crate::{
    error::{Error, Noun},
    store::{
        Store,
        entity::{
            building, device, device_group, entrance, household, partner, resident, site,
            subscription,
        },
        external_id,
        log::{self, NewEntry},
        resident::present,
    },
};

impl Store {
    /// All of it, or nothing.
    pub(crate) async fn insert_objects(&self, new: NewObjects) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| insert_objects(txn, new).boxed())
            .await
    }
}

async fn insert_objects(txn: &DatabaseTransaction, new: NewObjects) -> Result<(), Error> {
    new.needed.check(txn).await?;
    if taken(txn, &new.alone).await?.contains(&true) {
        return Err(Error::Exists(Noun::Holding));
    }
    insert_all(txn, new.sites).await?;
    insert_all(txn, new.buildings).await?;
    insert_all(txn, new.entrances).await?;
    if let Err(error) = insert_all(txn, new.devices).await {
        return Err(if is_unique_violation(&error) {
            Error::Exists(Noun::Device)
        } else {
            error.into()
        });
    }
    insert_all(txn, new.groups).await?;
    insert_all(txn, new.group_members).await?;
    insert_all(txn, new.households).await?;
    insert_all(txn, new.residents).await?;
    insert_all(txn, new.resident_sites).await?;
    insert_all(txn, new.members).await?;
    insert_all(txn, new.holdings).await?;
    insert_all(txn, new.grants).await?;
    put_subscriptions(txn, new.subscriptions).await?;
    external_id::insert_all(txn, new.external_ids).await?;
    let mut entries = new.entries.into_iter();
    loop {
        let some: Vec<NewEntry> = entries.by_ref().take(ROWS).collect();
        if some.is_empty() {
            return Ok(());
        }
        log::insert(txn, some).await?;
    }
}

async fn insert_all<A>(txn: &DatabaseTransaction, rows: Vec<A>) -> Result<(), DbErr>
where
    A: ActiveModelTrait + Send,
{
    let mut rows = rows.into_iter();
    loop {
        let some: Vec<A> = rows.by_ref().take(ROWS).collect();
        if some.is_empty() {
            return Ok(());
        }
        <A::Entity as EntityTrait>::insert_many(some)
            .exec_without_returning(txn)
            .await?;
    }
}

/// A state takes the place of the one that is there.
async fn put_subscriptions(
    txn: &DatabaseTransaction,
    rows: Vec<subscription::ActiveModel>,
) -> Result<(), DbErr> {
    use subscription::{Column, Entity};
    let mut rows = rows.into_iter();
    loop {
        let some: Vec<_> = rows.by_ref().take(ROWS).collect();
        if some.is_empty() {
            return Ok(());
        }
        let replacing = OnConflict::columns([Column::HouseholdId, Column::SiteId, Column::Kind])
            .update_columns([
                Column::PaidUntil,
                Column::GraceDays,
                Column::Suspended,
                Column::AsOf,
            ])
            .value(Column::Version, Expr::col((Entity, Column::Version)).add(1))
            .to_owned();
        Entity::insert_many(some)
            .on_conflict(replacing)
            .exec_without_returning(txn)
            .await?;
    }
}

impl Needed {
    /// Until the transaction ends, whoever would delete them waits.
    async fn check(&self, txn: &DatabaseTransaction) -> Result<(), Error> {
        still_there::<site::Entity>(txn, site::Column::Id, &self.sites, Noun::Site).await?;
        let (id, ids) = (building::Column::Id, &self.buildings);
        still_there::<building::Entity>(txn, id, ids, Noun::Building).await?;
        let (id, ids) = (entrance::Column::Id, &self.entrances);
        still_there::<entrance::Entity>(txn, id, ids, Noun::Entrance).await?;
        let (uid, uids) = (device::Column::Uid, &self.devices);
        still_there::<device::Entity>(txn, uid, uids, Noun::Device).await?;
        let (id, ids) = (device_group::Column::Id, &self.groups);
        still_there::<device_group::Entity>(txn, id, ids, Noun::DeviceGroup).await?;
        let (id, ids) = (household::Column::Id, &self.households);
        still_there::<household::Entity>(txn, id, ids, Noun::Household).await?;
        // One at a time of a household's states: what billing compares with must not change.
        let (id, ids, lock) = (household::Column::Id, &self.payers, LockType::NoKeyUpdate);
        locked::<household::Entity>(txn, id, ids, lock, Noun::Household).await?;
        // One at a time of a partner's keys and fobs: two replicas would not see each other's.
        let (id, ids, lock) = (partner::Column::Id, &self.partners, LockType::NoKeyUpdate);
        locked::<partner::Entity>(txn, id, ids, lock, Noun::Partner).await?;
        // One at a time of a resident's vehicles, likewise.
        let (id, ids, lock) = (
            resident::Column::Id,
            &self.vehicle_holders,
            LockType::NoKeyUpdate,
        );
        locked::<resident::Entity>(txn, id, ids, lock, Noun::Resident).await?;
        let residents: Vec<Uuid> = self.residents.iter().copied().collect();
        for some in residents.chunks(IDS) {
            if present(txn, some.to_vec()).await?.len() < some.len() {
                return Err(Error::NotFound(Noun::Resident));
            }
        }
        Ok(())
    }
}

async fn still_there<E: EntityTrait>(
    txn: &DatabaseTransaction,
    id: E::Column,
    ids: &BTreeSet<Uuid>,
    noun: Noun,
) -> Result<(), Error> {
    locked::<E>(txn, id, ids, LockType::KeyShare, noun).await
}

async fn locked<E: EntityTrait>(
    txn: &DatabaseTransaction,
    id: E::Column,
    ids: &BTreeSet<Uuid>,
    lock: LockType,
    noun: Noun,
) -> Result<(), Error> {
    let ids: Vec<Uuid> = ids.iter().copied().collect();
    for some in ids.chunks(IDS) {
        let found: Vec<Uuid> = E::find()
            .select_only()
            .column(id)
            .filter(ColumnTrait::is_in(&id, some.iter().copied()))
            .order_by_asc(id)
            .lock(lock)
            .into_tuple()
            .all(txn)
            .await?;
        if found.len() < some.len() {
            return Err(Error::NotFound(noun));
        }
    }
    Ok(())
}
