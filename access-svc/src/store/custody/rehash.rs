//! Rows that are found by a hash under the epoch's lookup key, hashed anew from what lies beside
//! it under its owner's own key.

use std::collections::{HashMap, HashSet};

use mesh::{
    crypto::Key,
    custody::CustodyError,
    keyring::{Epoch, Keyring, KeyringError, WrappedKey},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use crate::{
    domain::event::HoldingKind,
    store::{Sought, context, entity, external_id, holding::VALUE},
};

/// A row's hash under the current epoch, and how what it is made of is sealed from now on.
pub(super) struct Fresh {
    lookup: Vec<u8>,
    sealed: Vec<u8>,
}

/// What a row is hashed with.
pub(super) struct Anew<'a> {
    keyring: &'a Keyring,
    current: &'a Epoch,
    partners: &'a [Uuid],
}

pub(super) trait Hashed: EntityTrait {
    const LOOKUP: Self::Column;
    const EPOCH: Self::Column;
    const SEALED: Self::Column;

    fn owner(row: &Self::Model) -> Option<Uuid>;

    /// Whose owner's key is destroyed, and which is about to follow: it leads to nobody.
    fn of_nobody(row: &Self::Model) -> Fresh;

    /// None for a row that does not open, or that is not what its hash says.
    fn fresh(row: &Self::Model, key: &Key, with: &Anew<'_>) -> Result<Option<Fresh>, CustodyError>;

    /// The row, while it has the hash that it was read with.
    fn as_read(row: &Self::Model) -> Condition;
}

impl Hashed for entity::holding::Entity {
    const LOOKUP: Self::Column = entity::holding::Column::Lookup;
    const EPOCH: Self::Column = entity::holding::Column::LookupEpoch;
    const SEALED: Self::Column = entity::holding::Column::Sealed;

    fn owner(row: &Self::Model) -> Option<Uuid> {
        Some(row.resident_id)
    }

    fn of_nobody(row: &Self::Model) -> Fresh {
        Fresh {
            lookup: row.id.as_bytes().to_vec(),
            sealed: row.sealed.clone(),
        }
    }

    fn fresh(row: &Self::Model, key: &Key, with: &Anew<'_>) -> Result<Option<Fresh>, CustodyError> {
        let (kind, bound_to) = (HoldingKind::from_code(row.kind), context(VALUE, row.id));
        let Ok(bytes) = key.open(&row.sealed, &bound_to) else {
            return Ok(None);
        };
        if let Some(sought) = Sought::unsealed(kind, bytes.clone()) {
            return Ok(Some(Fresh {
                lookup: sought.hash(with.current),
                sealed: row.sealed.clone(),
            }));
        }
        let epoch = with.keyring.epoch(row.lookup_epoch)?;
        let sought = Sought::by_trial(kind, &bytes, &row.lookup, &epoch, with.partners);
        let Some(sought) = sought else {
            return Ok(None);
        };
        Ok(Some(Fresh {
            lookup: sought.hash(with.current),
            sealed: key.seal(sought.bytes(), &bound_to)?,
        }))
    }

    fn as_read(row: &Self::Model) -> Condition {
        use entity::holding::Column;
        Condition::all()
            .add(Column::Id.eq(row.id))
            .add(Column::Lookup.eq(row.lookup.clone()))
    }
}

impl Hashed for entity::external_id::Entity {
    const LOOKUP: Self::Column = entity::external_id::Column::Lookup;
    const EPOCH: Self::Column = entity::external_id::Column::LookupEpoch;
    const SEALED: Self::Column = entity::external_id::Column::Value;

    fn owner(row: &Self::Model) -> Option<Uuid> {
        row.owner
    }

    fn of_nobody(row: &Self::Model) -> Fresh {
        Fresh {
            lookup: row.object_id.as_bytes().to_vec(),
            sealed: row.value.clone(),
        }
    }

    fn fresh(row: &Self::Model, key: &Key, with: &Anew<'_>) -> Result<Option<Fresh>, CustodyError> {
        let Ok(id) = external_id::open(key, row) else {
            return Ok(None);
        };
        Ok(Some(Fresh {
            lookup: external_id::hash_text(with.current, row.noun, &row.system, &id),
            sealed: row.value.clone(),
        }))
    }

    fn as_read(row: &Self::Model) -> Condition {
        use entity::external_id::Column;
        Condition::all()
            .add(Column::Noun.eq(row.noun))
            .add(Column::System.eq(row.system.clone()))
            .add(Column::Lookup.eq(row.lookup.clone()))
    }
}

/// Hashes up to `limit` rows anew, under the current epoch; how many. One that does not open
/// stays where it is.
pub(super) async fn rehash<E: Hashed>(
    txn: &impl ConnectionTrait,
    keyring: &Keyring,
    limit: u64,
) -> Result<u64, CustodyError> {
    let current = keyring.current();
    let rows = E::find()
        // What is nobody's is of no epoch.
        .filter(ColumnTrait::gt(&E::EPOCH, 0_i64))
        .filter(ColumnTrait::lt(&E::EPOCH, current.id))
        .limit(limit)
        .all(txn)
        .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let owners = owners(txn, rows.iter().filter_map(E::owner).collect()).await?;
    let partners = partners(txn).await?;
    let with = Anew {
        keyring,
        current: &current,
        partners: &partners,
    };
    let mut moved = 0;
    for row in rows {
        let owner = E::owner(&row).and_then(|id| Some((id, owners.get(&id)?)));
        let fresh = match owner {
            None => Some(E::of_nobody(&row)),
            Some((id, wrapped)) => match keyring.unwrap(wrapped, id.as_bytes()) {
                Ok(key) => E::fresh(&row, &key, &with)?,
                Err(KeyringError::Crypto(_)) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let Some(Fresh { lookup, sealed }) = fresh else {
            continue;
        };
        // Only what was read is replaced: another may have been faster.
        let update = E::update_many()
            .col_expr(E::LOOKUP, Expr::val(lookup))
            .col_expr(E::EPOCH, Expr::val(current.id))
            .col_expr(E::SEALED, Expr::val(sealed))
            .filter(E::as_read(&row));
        moved += update.exec(txn).await?.rows_affected;
    }
    Ok(moved)
}

/// The residents' wrapped keys, by resident.
async fn owners(
    txn: &impl ConnectionTrait,
    residents: HashSet<Uuid>,
) -> Result<HashMap<Uuid, WrappedKey>, CustodyError> {
    let residents = entity::resident::Entity::find()
        .filter(entity::resident::Column::Id.is_in(residents))
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

/// Of which of them a credential is, an older release did not seal.
async fn partners(txn: &impl ConnectionTrait) -> Result<Vec<Uuid>, CustodyError> {
    Ok(entity::partner::Entity::find()
        .select_only()
        .column(entity::partner::Column::Id)
        .into_tuple()
        .all(txn)
        .await?)
}
