//! What custody is told of this store.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use audit_log::{Entry, Kind};
use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::to_micros,
    custody::{
        Act, Custodian, CustodyError, Wrapped,
        backup::{Table, table},
        wrapped::count,
    },
    db::{Db, named_key},
    keyring::{Keyring, KeyringError, WrappedKey},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    Sought, context, entity, external_id,
    holding::VALUE,
    log::{self, ENTRY_KEY, NewEntry},
};
use crate::{SERVICE, domain::event::HoldingKind};

const PARTNERS: Wrapped<entity::partner::Entity> = Wrapped {
    epoch: entity::partner::Column::Epoch,
    key: entity::partner::Column::WrappedKey,
    bound_to: entity::partner::Column::Id,
};

const RESIDENTS: Wrapped<entity::resident::Entity> = Wrapped {
    epoch: entity::resident::Column::Epoch,
    key: entity::resident::Column::WrappedKey,
    bound_to: entity::resident::Column::Id,
};

/// The rows of access-svc, in the hands of custody.
pub(crate) struct Records {
    db: Db,
    keyring: Keyring,
}

impl Records {
    pub(crate) fn new(db: Db, keyring: Keyring) -> Self {
        Self { db, keyring }
    }
}

#[tonic::async_trait]
impl Custodian for Records {
    async fn references(&self) -> Result<BTreeMap<i64, u64>, CustodyError> {
        let db = &self.db.read;
        let mut sum = PARTNERS.references(db).await?;
        for more in [
            RESIDENTS.references(db).await?,
            count::<entity::holding::Entity>(db, entity::holding::Column::LookupEpoch).await?,
            count::<entity::external_id::Entity>(db, entity::external_id::Column::LookupEpoch)
                .await?,
        ] {
            // External ids of what is nobody's are of none.
            for (epoch, rows) in more.into_iter().filter(|(epoch, _)| *epoch > 0) {
                *sum.entry(epoch).or_default() += rows;
            }
        }
        Ok(sum)
    }

    async fn rewrap(&self, limit: u64) -> Result<u64, CustodyError> {
        let keyring = self.keyring.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let partners = PARTNERS.rewrap(txn, &keyring, limit).await?;
                    let residents = RESIDENTS.rewrap(txn, &keyring, limit).await?;
                    let holdings = rehash(txn, &keyring, limit).await?;
                    let external_ids = rehash_external_ids(txn, &keyring, limit).await?;
                    Ok::<u64, CustodyError>(partners + residents + holdings + external_ids)
                }
                .boxed()
            })
            .await
    }

    async fn verify(&self) -> Result<u64, CustodyError> {
        let (db, keyring) = (&self.db.read, &self.keyring);
        Ok(PARTNERS.verify(db, keyring).await? + RESIDENTS.verify(db, keyring).await?)
    }

    fn tables(&self) -> Vec<Box<dyn Table>> {
        vec![
            Box::new(table::<entity::partner::Entity>().with_keys(PARTNERS)),
            Box::new(table::<entity::site::Entity>()),
            Box::new(table::<entity::building::Entity>()),
            Box::new(table::<entity::entrance::Entity>()),
            Box::new(table::<entity::device::Entity>()),
            Box::new(table::<entity::device_group::Entity>()),
            Box::new(table::<entity::device_group_member::Entity>()),
            Box::new(table::<entity::household::Entity>()),
            Box::new(table::<entity::household_member::Entity>()),
            Box::new(table::<entity::resident::Entity>().with_keys(RESIDENTS)),
            Box::new(table::<entity::resident_site::Entity>()),
            Box::new(table::<entity::pseudonym::Entity>()),
            Box::new(table::<entity::grant::Entity>()),
            Box::new(table::<entity::holding::Entity>()),
            Box::new(table::<entity::subscription::Entity>()),
            Box::new(table::<entity::consent::Entity>()),
            Box::new(table::<entity::withdrawal::Entity>()),
            Box::new(table::<entity::external_id::Entity>()),
            // Faces that nobody here has are remembered for a day, whoever
            // shows them to an empty store.
            Box::new(table::<entity::evidence::Entity>().made_at_start()),
            Box::new(table::<entity::token_use::Entity>()),
            Box::new(table::<entity::idempotency::Entity>()),
            Box::new(table::<entity::feed::Entity>().made_at_start()),
            Box::new(table::<entity::opening::Entity>()),
            Box::new(table::<entity::event::Entity>()),
            Box::new(table::<entity::command_result::Entity>()),
            Box::new(table::<entity::auth_event::Entity>()),
            Box::new(table::<entity::erasure::Entity>()),
            Box::new(table::<entity::erasure_receipt::Entity>()),
            Box::new(table::<entity::audit_entry::Entity>()),
            Box::new(table::<entity::audit_tile::Entity>()),
            Box::new(table::<entity::audit_checkpoint::Entity>()),
            Box::new(table::<entity::audit_place::Entity>()),
            Box::new(table::<entity::audit_source::Entity>()),
        ]
    }

    async fn epoch_ended(&self, ended: i64, at: Timestamp) -> Result<(), CustodyError> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::erasure::{Column, Entity};
                    // Who erases gives the receipts that say so.
                    Entity::update_many()
                        .col_expr(Column::FinalAt, Expr::val(to_micros(at)))
                        .filter(Column::Epoch.lte(ended))
                        .filter(Column::FinalAt.is_null())
                        .exec(txn)
                        .await?;
                    Ok::<(), CustodyError>(())
                }
                .boxed()
            })
            .await
    }

    /// Under the key that the store has now: a restore has brought its own.
    /// One without a partner may wait for a restore, which refuses a store with
    /// entries.
    async fn acted(&self, act: Act) -> Result<(), CustodyError> {
        let partner = entity::partner::Entity::find().one(&self.db.read).await?;
        if partner.is_none() {
            tracing::info!(code = act.code, actor = %act.actor, "an act on an empty store");
            return Ok(());
        }
        let key = named_key::load_or_create(&self.db.read, &self.keyring, ENTRY_KEY).await?;
        let entry = Entry {
            actor: Some(act.actor),
            service: Some(SERVICE.to_owned()),
            request: act.request,
            subject: Some(act.subject),
            ..Entry::new(Kind::Act, act.code, act.at)
        };
        let entry = NewEntry::keyed(&key, &entry, None).map_err(CustodyError::store)?;
        self.db
            .writer
            .write(move |txn| {
                async move { Ok::<(), CustodyError>(log::insert(txn, vec![entry]).await?) }.boxed()
            })
            .await
    }
}

/// Hashes up to `limit` holdings anew, under the current epoch; how many. One
/// that does not open stays where it is.
async fn rehash(
    txn: &impl ConnectionTrait,
    keyring: &Keyring,
    limit: u64,
) -> Result<u64, CustodyError> {
    use entity::holding::{Column, Entity};
    let current = keyring.current();
    let rows = Entity::find()
        .filter(Column::LookupEpoch.lt(current.id))
        .limit(limit)
        .all(txn)
        .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let owners = owners(txn, rows.iter().map(|row| row.resident_id)).await?;
    let partners: Vec<Uuid> = entity::partner::Entity::find()
        .select_only()
        .column(entity::partner::Column::Id)
        .into_tuple()
        .all(txn)
        .await?;
    let mut moved = 0;
    for row in rows {
        let fresh = match owners.get(&row.resident_id) {
            // Its owner's key is destroyed and it is about to follow: it leads
            // to nobody.
            None => Some((row.id.as_bytes().to_vec(), row.sealed.clone())),
            Some(owner) => unseal(keyring, owner, &row, &partners)?
                .map(|found| (found.sought.hash(&current), found.sealed)),
        };
        let Some((lookup, sealed)) = fresh else {
            continue;
        };
        // Only what was read is replaced: another may have been faster.
        let update = Entity::update_many()
            .col_expr(Column::Lookup, Expr::val(lookup))
            .col_expr(Column::LookupEpoch, Expr::val(current.id))
            .col_expr(Column::Sealed, Expr::val(sealed))
            .filter(Column::Id.eq(row.id))
            .filter(Column::Lookup.eq(row.lookup));
        moved += update.exec(txn).await?.rows_affected;
    }
    Ok(moved)
}

/// The same for external ids that are somebody's.
async fn rehash_external_ids(
    txn: &impl ConnectionTrait,
    keyring: &Keyring,
    limit: u64,
) -> Result<u64, CustodyError> {
    use entity::external_id::{Column, Entity};
    let current = keyring.current();
    let rows = Entity::find()
        .filter(Column::LookupEpoch.gt(0))
        .filter(Column::LookupEpoch.lt(current.id))
        .limit(limit)
        .all(txn)
        .await?;
    let owners = owners(txn, rows.iter().filter_map(|row| row.owner)).await?;
    let mut moved = 0;
    for row in rows {
        let owned = row.owner.and_then(|id| Some((id, owners.get(&id)?)));
        let lookup = match owned {
            // Its owner's key is destroyed and it is about to follow: it leads to nobody.
            None => row.object_id.as_bytes().to_vec(),
            Some((id, owner)) => match keyring.unwrap(owner, id.as_bytes()) {
                Ok(key) => match external_id::open(&key, &row) {
                    Ok(id) => external_id::hash_text(&current, row.noun, &row.system, &id),
                    Err(_) => continue,
                },
                Err(KeyringError::Crypto(_)) => continue,
                Err(error) => return Err(error.into()),
            },
        };
        let update = Entity::update_many()
            .col_expr(Column::Lookup, Expr::val(lookup))
            .col_expr(Column::LookupEpoch, Expr::val(current.id))
            .filter(Column::Noun.eq(row.noun))
            .filter(Column::System.eq(row.system))
            // Only what was read is replaced: another may have been faster.
            .filter(Column::Lookup.eq(row.lookup));
        moved += update.exec(txn).await?.rows_affected;
    }
    Ok(moved)
}

/// The residents' wrapped keys, by resident.
async fn owners(
    txn: &impl ConnectionTrait,
    residents: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, WrappedKey>, CustodyError> {
    let ids: HashSet<Uuid> = residents.collect();
    let residents = entity::resident::Entity::find()
        .filter(entity::resident::Column::Id.is_in(ids))
        .all(txn)
        .await?;
    let wrapped = residents.into_iter().map(|row| {
        let key = WrappedKey {
            epoch: row.epoch,
            sealed: row.wrapped_key,
        };
        (row.id, key)
    });
    Ok(wrapped.collect())
}

/// What a holding is of, and how it is sealed from now on.
struct Unsealed {
    sought: Sought,
    sealed: Vec<u8>,
}

/// None for a row that does not open, or that is not what its hash says.
fn unseal(
    keyring: &Keyring,
    owner: &WrappedKey,
    row: &entity::holding::Model,
    partners: &[Uuid],
) -> Result<Option<Unsealed>, CustodyError> {
    let key = match keyring.unwrap(owner, row.resident_id.as_bytes()) {
        Ok(key) => key,
        Err(KeyringError::Crypto(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (kind, bound_to) = (HoldingKind::from_code(row.kind), context(VALUE, row.id));
    let Ok(bytes) = key.open(&row.sealed, &bound_to) else {
        return Ok(None);
    };
    if let Some(sought) = Sought::unsealed(kind, bytes.clone()) {
        let sealed = row.sealed.clone();
        return Ok(Some(Unsealed { sought, sealed }));
    }
    let epoch = keyring.epoch(row.lookup_epoch)?;
    match Sought::by_trial(kind, &bytes, &row.lookup, &epoch, partners) {
        Some(sought) => {
            let sealed = key.seal(sought.bytes(), &bound_to)?;
            Ok(Some(Unsealed { sought, sealed }))
        }
        None => Ok(None),
    }
}
