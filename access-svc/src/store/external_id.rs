//! External ids. What a person's object is called elsewhere leads to the person: it is found by
//! a keyed hash and lies sealed under the person's key, and goes with it.

use std::collections::{HashMap, HashSet};

use mesh::{Caller, crypto::Key, db::is_unique_violation, keyring::Epoch};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use super::{ResidentKey, Store, context, entity::external_id};
use crate::{
    domain::external_id::{ExternalId, ExternalIds, Object},
    error::{Error, Noun},
};

const SEALED: &str = "external id";
/// Objects whose names go into one statement.
const AT_ONCE: usize = 500;

/// An object by the noun it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId {
    pub(crate) object: Object,
    pub(crate) id: Uuid,
}

/// Whose object it is: nobody's, or a resident's.
pub(crate) enum Owner<'a> {
    Nobody,
    Resident(Uuid, &'a ResidentKey),
}

/// Rows of one object, ready to be stored.
pub(crate) struct NewExternalIds {
    object: ObjectId,
    rows: Vec<external_id::Model>,
    /// The same ids under every live epoch: a twin may be under any of them.
    twins: Vec<(String, Vec<Vec<u8>>)>,
}

impl Store {
    pub(crate) fn new_external_ids(
        &self,
        object: ObjectId,
        owner: &Owner<'_>,
        ids: &ExternalIds,
    ) -> Result<NewExternalIds, Error> {
        let current = self.keyring.current();
        let mut rows = Vec::new();
        let mut twins = Vec::new();
        for one in ids.iter() {
            let (lookup, lookup_epoch, value) = match owner {
                Owner::Nobody => (one.id.as_bytes().to_vec(), 0, one.id.as_bytes().to_vec()),
                Owner::Resident(_, key) => (
                    hash(&current, object.object, &one),
                    current.id,
                    seal(&key.0, object.id, &one)?,
                ),
            };
            if matches!(owner, Owner::Resident(..)) {
                twins.push((one.system.clone(), self.lookups(object.object, &one)));
            }
            rows.push(external_id::Model {
                noun: object.object.code(),
                system: one.system,
                lookup,
                object_id: object.id,
                owner: match owner {
                    Owner::Nobody => None,
                    Owner::Resident(id, _) => Some(*id),
                },
                lookup_epoch,
                value,
            });
        }
        Ok(NewExternalIds {
            object,
            rows,
            twins,
        })
    }

    /// By what it may be found.
    fn lookups(&self, object: Object, one: &ExternalId) -> Vec<Vec<u8>> {
        let epochs = self.keyring.epochs().into_iter();
        let mut lookups: Vec<Vec<u8>> = epochs
            // One that ends meanwhile has no rows any more.
            .filter_map(|id| self.keyring.epoch(id).ok())
            .map(|epoch| hash(&epoch, object, one))
            .collect();
        lookups.push(one.id.as_bytes().to_vec());
        lookups
    }

    /// What each of these names, in their order.
    pub(crate) async fn resolve(
        &self,
        object: Object,
        ids: &[ExternalId],
    ) -> Result<Vec<Option<Uuid>>, Error> {
        let mut found = self.named(object, ids).await?;
        if found.iter().any(Option::is_none) && self.learns_epoch_of_names().await? {
            found = self.named(object, ids).await?;
        }
        Ok(found)
    }

    async fn named(&self, object: Object, ids: &[ExternalId]) -> Result<Vec<Option<Uuid>>, Error> {
        use external_id::{Column, Entity};
        let lookups: Vec<Vec<Vec<u8>>> = ids.iter().map(|one| self.lookups(object, one)).collect();
        let mut found: HashMap<(String, Vec<u8>), Uuid> = HashMap::new();
        let all: Vec<&Vec<u8>> = lookups.iter().flatten().collect();
        // SQLite takes so many values in a statement.
        for some in all.chunks(10_000) {
            let rows = Entity::find()
                .filter(Column::Noun.eq(object.code()))
                .filter(Column::Lookup.is_in(some.iter().map(|lookup| (*lookup).clone())))
                .all(&self.db.read)
                .await?;
            found.extend(
                rows.into_iter()
                    .map(|row| ((row.system, row.lookup), row.object_id)),
            );
        }
        Ok(ids
            .iter()
            .zip(lookups)
            .map(|(one, lookups)| {
                let named = |lookup| found.get(&(one.system.clone(), lookup)).copied();
                lookups.into_iter().find_map(named)
            })
            .collect())
    }

    pub(crate) async fn resolve_one(
        &self,
        object: Object,
        id: ExternalId,
    ) -> Result<Option<Uuid>, Error> {
        Ok(self
            .resolve(object, &[id])
            .await?
            .into_iter()
            .next()
            .flatten())
    }

    /// Whether another replica names under an epoch that this one had yet to read: what was not
    /// found may be there.
    pub(crate) async fn learns_epoch_of_names(&self) -> Result<bool, Error> {
        use external_id::{Column, Entity};
        let newer = Entity::find()
            .select_only()
            .column(Column::LookupEpoch)
            // As the index over them has it.
            .filter(Expr::cust("lookup_epoch > 0"))
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

    /// Those of each of these objects that has any.
    pub(crate) async fn external_ids(
        &self,
        object: Object,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, ExternalIds>, Error> {
        use external_id::{Column, Entity};
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let mut all: HashMap<Uuid, ExternalIds> = HashMap::new();
        if ids.is_empty() {
            return Ok(all);
        }
        let rows = Entity::find()
            .filter(Column::Noun.eq(object.code()))
            .filter(Column::ObjectId.is_in(ids))
            .all(&self.db.read)
            .await?;
        let owners: HashSet<Uuid> = rows.iter().filter_map(|row| row.owner).collect();
        let keys = self.resident_keys(owners.into_iter().collect()).await?;
        for row in rows {
            let plain = match row.owner {
                None => row.value.clone(),
                Some(owner) => match keys.get(&owner) {
                    Some(key) => open(&key.0, &row)?,
                    // The owner is going, and this follows.
                    None => continue,
                },
            };
            let id = String::from_utf8(plain).map_err(|_| Error::Corrupt("external id"))?;
            let system = row.system;
            all.entry(row.object_id)
                .or_default()
                .insert(ExternalId { system, id });
        }
        Ok(all)
    }

    pub(crate) async fn external_ids_of(&self, of: ObjectId) -> Result<ExternalIds, Error> {
        let mut all = self.external_ids(of.object, [of.id]).await?;
        Ok(all.remove(&of.id).unwrap_or_default())
    }
}

/// Takes the place of those that the object has. ALREADY_EXISTS where one names another object.
pub(super) async fn replace(txn: &DatabaseTransaction, new: NewExternalIds) -> Result<(), Error> {
    forget(txn, new.object.object, vec![new.object.id]).await?;
    insert(txn, new).await
}

/// What is given takes the place of what an object of nobody's has, as far as the caller may say.
/// False where nothing changes.
pub(super) async fn give(
    store: &Store,
    txn: &DatabaseTransaction,
    object: ObjectId,
    given: ExternalIds,
    by: &Caller,
) -> Result<bool, Error> {
    use external_id::{Column, Entity};
    let rows = Entity::find()
        .filter(Column::Noun.eq(object.object.code()))
        .filter(Column::ObjectId.eq(object.id))
        .all(txn)
        .await?;
    let mut there = ExternalIds::default();
    for row in rows {
        let id = String::from_utf8(row.value).map_err(|_| Error::Corrupt("external id"))?;
        let system = row.system;
        there.insert(ExternalId { system, id });
    }
    let after = there.clone().replaced(given, by)?;
    if after == there {
        return Ok(false);
    }
    let new = store.new_external_ids(object, &Owner::Nobody, &after)?;
    replace(txn, new).await?;
    Ok(true)
}

/// For an object that has none yet.
pub(super) async fn insert(txn: &DatabaseTransaction, new: NewExternalIds) -> Result<(), Error> {
    use external_id::{Column, Entity};
    for (system, lookups) in new.twins {
        let twin = Entity::find()
            .filter(Column::Noun.eq(new.object.object.code()))
            .filter(Column::System.eq(system).and(Column::Lookup.is_in(lookups)))
            .one(txn)
            .await?;
        if twin.is_some() {
            return Err(Error::Exists(Noun::ExternalId));
        }
    }
    insert_rows(txn, new.rows).await
}

async fn insert_rows(
    txn: &DatabaseTransaction,
    rows: Vec<external_id::Model>,
) -> Result<(), Error> {
    use external_id::{ActiveModel, Entity};
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.into_iter().map(|row| ActiveModel {
        noun: Set(row.noun),
        system: Set(row.system),
        lookup: Set(row.lookup),
        object_id: Set(row.object_id),
        owner: Set(row.owner),
        lookup_epoch: Set(row.lookup_epoch),
        value: Set(row.value),
    });
    match Entity::insert_many(rows).exec_without_returning(txn).await {
        Ok(_) => Ok(()),
        Err(error) if is_unique_violation(&error) => Err(Error::Exists(Noun::ExternalId)),
        Err(error) => Err(error.into()),
    }
}

/// For many objects of one noun and one system that have none yet.
pub(super) async fn insert_all(
    txn: &DatabaseTransaction,
    new: Vec<NewExternalIds>,
) -> Result<(), Error> {
    use external_id::{Column, Entity};
    for some in new.chunks(AT_ONCE) {
        let noun = some.first().map(|one| one.object.object.code());
        let twins: Vec<&(String, Vec<Vec<u8>>)> = some.iter().flat_map(|one| &one.twins).collect();
        let system = twins.first().map(|twin| twin.0.clone());
        let lookups: Vec<Vec<u8>> = twins.iter().flat_map(|twin| twin.1.clone()).collect();
        if let (Some(noun), Some(system)) = (noun, system) {
            let twin = Entity::find()
                .filter(Column::Noun.eq(noun))
                .filter(Column::System.eq(system).and(Column::Lookup.is_in(lookups)))
                .one(txn)
                .await?;
            if twin.is_some() {
                return Err(Error::Exists(Noun::ExternalId));
            }
        }
        let rows: Vec<_> = some.iter().flat_map(|one| one.rows.clone()).collect();
        insert_rows(txn, rows).await?;
    }
    Ok(())
}

/// With the objects go their names.
pub(super) async fn forget(
    txn: &impl ConnectionTrait,
    object: Object,
    ids: Vec<Uuid>,
) -> Result<(), Error> {
    use external_id::{Column, Entity};
    Entity::delete_many()
        .filter(Column::Noun.eq(object.code()))
        .filter(Column::ObjectId.is_in(ids))
        .exec(txn)
        .await?;
    Ok(())
}

/// With a person go the names of the person and of what is the person's.
pub(super) async fn forget_owned(txn: &impl ConnectionTrait, resident: Uuid) -> Result<u64, Error> {
    use external_id::{Column, Entity};
    let gone = Entity::delete_many()
        .filter(Column::Owner.eq(resident))
        .exec(txn)
        .await?;
    Ok(gone.rows_affected)
}

fn hash(epoch: &Epoch, object: Object, one: &ExternalId) -> Vec<u8> {
    hash_text(epoch, object.code(), &one.system, one.id.as_bytes())
}

/// What custody hashes anew when an epoch ends.
pub(super) fn hash_text(epoch: &Epoch, noun: i16, system: &str, id: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 4] = [b"external id", &noun.to_be_bytes(), system.as_bytes(), id];
    epoch.lookup.mac(&parts).to_vec()
}

fn seal(key: &Key, object: Uuid, one: &ExternalId) -> Result<Vec<u8>, Error> {
    Ok(key.seal(one.id.as_bytes(), &bound_to(object, &one.system))?)
}

pub(super) fn open(key: &Key, row: &external_id::Model) -> Result<Vec<u8>, Error> {
    let plain = key.open(&row.value, &bound_to(row.object_id, &row.system))?;
    Ok(plain.to_vec())
}

fn bound_to(object: Uuid, system: &str) -> Vec<u8> {
    let mut bound_to = context(SEALED, object);
    bound_to.extend_from_slice(system.as_bytes());
    bound_to
}
