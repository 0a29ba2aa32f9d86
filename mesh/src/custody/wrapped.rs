//! A table's data keys: counted, moved and tried the same way, whatever else
//! the rows hold.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, FromQueryResult, ModelTrait,
    QueryFilter, QuerySelect, QueryTrait, StreamTrait, Value, sea_query::Expr,
};

use super::CustodyError;
use crate::keyring::{Keyring, KeyringError, WrappedKey};

/// Rows tried between two chances for others to run.
const STRIDE: u64 = 256;

/// Which columns of a table hold its data keys. An index over `epoch` keeps a
/// rotation of a large table short.
pub struct Wrapped<E: EntityTrait> {
    /// `i64`: the epoch whose key wraps.
    pub epoch: E::Column,
    /// Bytes: the wrapped key.
    pub key: E::Column,
    /// What the key is bound to, unique in the table: the bytes of a UUID, a
    /// text or a blob.
    pub bound_to: E::Column,
}

impl<E: EntityTrait> Clone for Wrapped<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: EntityTrait> Copy for Wrapped<E> {}

impl<E: EntityTrait> Wrapped<E> {
    /// How many rows each epoch wraps.
    pub async fn references(
        &self,
        db: &impl ConnectionTrait,
    ) -> Result<BTreeMap<i64, u64>, CustodyError> {
        count::<E>(db, self.epoch).await
    }

    /// Moves up to `limit` rows to the current epoch; how many it moved. A row
    /// that does not open stays where it is.
    pub async fn rewrap(
        &self,
        txn: &impl ConnectionTrait,
        keyring: &Keyring,
        limit: u64,
    ) -> Result<u64, CustodyError> {
        let current = keyring.current().id;
        let rows: Vec<E::Model> = E::find()
            .filter(ColumnTrait::lt(&self.epoch, current))
            .limit(limit)
            .all(txn)
            .await?;
        let mut wrapped: Vec<_> = rows
            .into_iter()
            .filter_map(|row| Some((self.of_row(&row)?, row)))
            .collect();
        // One order everywhere, or two replicas lock each other out.
        wrapped.sort_by(|((_, one), _), ((_, other), _)| one.cmp(other));
        let mut moved = 0;
        for ((old, bound_to), row) in wrapped {
            let new = match keyring.rewrap(&old, &bound_to) {
                Ok(Some(new)) => new,
                Ok(None) | Err(KeyringError::Crypto(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            // Only what was read is replaced: another may have been faster.
            let update = E::update_many()
                .col_expr(self.epoch, Expr::val(new.epoch))
                .col_expr(self.key, Expr::val(new.sealed))
                .filter(ColumnTrait::eq(&self.bound_to, row.get(self.bound_to)))
                .filter(ColumnTrait::eq(&self.key, old.sealed));
            moved += update.exec(txn).await?.rows_affected;
        }
        Ok(moved)
    }

    /// Opens every key; how many do not open.
    pub async fn verify(
        &self,
        db: &DatabaseConnection,
        keyring: &Keyring,
    ) -> Result<u64, CustodyError> {
        let query = E::find().into_query();
        let mut rows = StreamTrait::stream(db, &query).await?.boxed();
        let (mut seen, mut unopened) = (0, 0);
        while let Some(row) = rows.try_next().await? {
            let row = E::Model::from_query_result(&row, "")?;
            let good = match self.of_row(&row) {
                Some((key, bound_to)) => opens(keyring, &key, &bound_to)?,
                None => false,
            };
            unopened += u64::from(!good);
            seen += 1;
            if seen % STRIDE == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(unopened)
    }

    fn of_row(&self, row: &E::Model) -> Option<(WrappedKey, Vec<u8>)> {
        wrapped_key(
            row.get(self.epoch),
            row.get(self.key),
            row.get(self.bound_to),
        )
    }
}

/// Rows by the epoch that a column of theirs names.
pub async fn count<E: EntityTrait>(
    db: &impl ConnectionTrait,
    epoch: E::Column,
) -> Result<BTreeMap<i64, u64>, CustodyError> {
    let counted: Vec<(i64, i64)> = E::find()
        .select_only()
        .column(epoch)
        .column_as(ColumnTrait::count(&epoch), "rows")
        .group_by(epoch)
        .into_tuple()
        .all(db)
        .await?;
    Ok(counted
        .into_iter()
        .map(|(epoch, rows)| (epoch, u64::try_from(rows).unwrap_or(0)))
        .collect())
}

/// False for a key that does not open; an error when its epoch is missing.
pub(crate) fn opens(
    keyring: &Keyring,
    key: &WrappedKey,
    bound_to: &[u8],
) -> Result<bool, KeyringError> {
    match keyring.unwrap(key, bound_to) {
        Ok(_) => Ok(true),
        Err(KeyringError::Crypto(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn wrapped_key(
    epoch: Value,
    key: Value,
    bound_to: Value,
) -> Option<(WrappedKey, Vec<u8>)> {
    let (Value::BigInt(Some(epoch)), Value::Bytes(Some(sealed))) = (epoch, key) else {
        return None;
    };
    let bound_to = match bound_to {
        Value::Uuid(Some(id)) => id.as_bytes().to_vec(),
        Value::String(Some(text)) => text.into_bytes(),
        Value::Bytes(Some(bytes)) => bytes,
        _ => return None,
    };
    Some((WrappedKey { epoch, sealed }, bound_to))
}
