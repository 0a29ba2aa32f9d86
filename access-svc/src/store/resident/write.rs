//! Residents as they come and change.

use std::collections::{BTreeMap, BTreeSet};

use audit_log::Entry;
use futures::FutureExt;
use mesh::clock::to_micros;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, sea_query::Expr,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    NAME, Resident, ResidentKey, Store, add_sites, context, entity, held, households_of,
    sites::check_sites, sites_of, sites_of_households, touch,
};
use crate::{
    domain::{
        entry::Link,
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
    },
    error::Error,
    store::{NewExternalIds, ObjectId, Owner, Sealer, external_id, log},
};

/// Somebody who is about to be there.
pub(crate) struct NewPerson {
    pub(crate) resident: Resident,
    pub(crate) name: Zeroizing<String>,
    /// Beside those of the households.
    pub(crate) sites: BTreeSet<Uuid>,
    /// Households, each with what is told of it.
    pub(crate) joined: BTreeMap<Uuid, Entry>,
    pub(crate) external_ids: ExternalIds,
}

/// What is to change; none of each stays as it is.
pub(crate) struct ResidentChange {
    pub(crate) name: Option<Zeroizing<String>>,
    /// Those of the households stay.
    pub(crate) sites: Option<BTreeSet<Uuid>>,
    pub(crate) external_ids: Option<NewExternalIds>,
    /// Of the resident whose external ids were read.
    pub(crate) read: Version,
}

/// A row with a data key of its own.
pub(in crate::store) fn residents_row(
    store: &Store,
    resident: &Resident,
    name: &str,
    now: i64,
) -> Result<(entity::resident::ActiveModel, ResidentKey), Error> {
    let (key, wrapped) = store.keyring.new_data_key(resident.id.as_bytes())?;
    let row = entity::resident::ActiveModel {
        id: Set(resident.id),
        subject_id: Set(resident.subject),
        audit_pseudonym: Set(resident.audit_pseudonym),
        epoch: Set(wrapped.epoch),
        wrapped_key: Set(wrapped.sealed),
        name_sealed: Set(key.seal(name.as_bytes(), &context(NAME, resident.id))?),
        suspended: Set(resident.suspended),
        erasing: Set(false),
        host_household_id: Set(resident.host),
        guest_until: Set(resident.guest_until.map(to_micros)),
        galleries_pending: Set(false),
        version: Set(resident.version.0),
        created_at: Set(now),
    };
    Ok((row, ResidentKey(key)))
}

impl Store {
    /// The resident's sites, with those of the households.
    pub(crate) async fn insert_resident(
        &self,
        new: NewPerson,
        now: i64,
        telling: Entry,
    ) -> Result<Vec<Uuid>, Error> {
        self.learns_epoch_of_names().await?;
        let id = new.resident.id;
        let (row, key) = residents_row(self, &new.resident, &new.name, now)?;
        let of = ObjectId {
            object: Object::Resident,
            id,
        };
        let external_ids =
            self.new_external_ids(of, &Owner::Resident(id, &key), &new.external_ids)?;
        let mut tellings = vec![self.new_entry(telling, None)?];
        let mut households = BTreeSet::new();
        for (household, telling) in new.joined {
            let link = Link::Household(household);
            tellings.push(self.new_entry(telling, Some((&link, Sealer::Resident(&key))))?);
            households.insert(household);
        }
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let mut sites = sites_of_households(txn, &households).await?;
                    sites.extend(new.sites);
                    check_sites(txn, &sites).await?;
                    entity::resident::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await?;
                    add_sites(txn, id, sites.iter().copied().collect()).await?;
                    insert_memberships(txn, id, households).await?;
                    external_id::insert(txn, external_ids).await?;
                    log::insert(txn, tellings).await?;
                    Ok(sites.into_iter().collect())
                }
                .boxed()
            })
            .await
    }

    /// Whether the sites have changed, of which the biometric store is then to be told.
    pub(crate) async fn update_resident(
        &self,
        id: Uuid,
        if_match: IfMatch,
        change: ResidentChange,
        telling: Entry,
    ) -> Result<bool, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let row = held(txn, id).await?;
                    if_match.check(Version(row.version))?;
                    if let Some(name) = change.name {
                        let key = store.unwrap(row.epoch, &row.wrapped_key, id)?;
                        let sealed = key.seal(name.as_bytes(), &context(NAME, id))?;
                        set_name(txn, id, sealed).await?;
                    }
                    if let Some(new) = change.external_ids {
                        if change.read != Version(row.version) {
                            return Err(Error::Overtaken);
                        }
                        external_id::replace(txn, new).await?;
                    }
                    let moved = match change.sites {
                        Some(sites) => replace_sites(txn, &row, sites).await?,
                        None => false,
                    };
                    touch(txn, id, moved).await?;
                    let telling = Entry {
                        who: Some(row.audit_pseudonym),
                        ..telling
                    };
                    log::insert(txn, vec![store.new_entry(telling, None)?]).await?;
                    Ok(moved)
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn set_resident_state(
        &self,
        id: Uuid,
        suspended: bool,
        telling: Entry,
    ) -> Result<(), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::resident::{Column, Entity};
                    let row = held(txn, id).await?;
                    Entity::update_many()
                        .col_expr(Column::Suspended, Expr::value(suspended))
                        .filter(Column::Id.eq(id))
                        .exec(txn)
                        .await?;
                    touch(txn, id, false).await?;
                    let telling = Entry {
                        who: Some(row.audit_pseudonym),
                        ..telling
                    };
                    log::insert(txn, vec![store.new_entry(telling, None)?]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

async fn insert_memberships(
    txn: &DatabaseTransaction,
    resident: Uuid,
    households: BTreeSet<Uuid>,
) -> Result<(), Error> {
    use entity::household_member::{ActiveModel, Entity};
    if households.is_empty() {
        return Ok(());
    }
    let rows = households.into_iter().map(|household| ActiveModel {
        household_id: Set(household),
        resident_id: Set(resident),
    });
    Entity::insert_many(rows)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

async fn set_name(txn: &DatabaseTransaction, id: Uuid, sealed: Vec<u8>) -> Result<(), Error> {
    use entity::resident::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::NameSealed, Expr::value(sealed))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Whether any came or went.
async fn replace_sites(
    txn: &DatabaseTransaction,
    row: &entity::resident::Model,
    mut sites: BTreeSet<Uuid>,
) -> Result<bool, Error> {
    use entity::resident_site::{Column, Entity};
    let id = row.id;
    let households = households_of(txn, vec![id]).await?;
    let mut households: BTreeSet<Uuid> = households.into_values().flatten().collect();
    // A guest is recognised where the host lives.
    households.extend(row.host_household_id);
    sites.extend(sites_of_households(txn, &households).await?);
    check_sites(txn, &sites).await?;
    let before = sites_of(txn, vec![id]).await?.remove(&id);
    let before: BTreeSet<Uuid> = before.unwrap_or_default().into_iter().collect();
    let gone: Vec<Uuid> = before.difference(&sites).copied().collect();
    let went = !gone.is_empty();
    if went {
        Entity::delete_many()
            .filter(Column::ResidentId.eq(id))
            .filter(Column::SiteId.is_in(gone))
            .exec(txn)
            .await?;
    }
    let came = sites.difference(&before).copied().collect();
    let came = add_sites(txn, id, came).await?;
    Ok(went || came)
}
