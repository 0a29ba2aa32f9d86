//! A table of a service as backups see it: the same for every entity.

use std::marker::PhantomData;

use futures::{StreamExt, TryStreamExt};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, IdenStatic, Iterable,
    ModelTrait, PrimaryKeyToColumn, PrimaryKeyTrait, QueryResult, QueryTrait, StreamTrait,
    sea_query::{Expr, Query},
};

use super::{BackupError, Cell, Draft};
use crate::{
    custody::{
        CustodyError,
        wrapped::{Wrapped, wrapped_key},
    },
    db::is_postgres,
    keyring::WrappedKey,
};

/// What both databases take in one statement.
const MOST_PARAMETERS: usize = 30_000;

/// The data key that a row holds.
pub enum RowKey {
    /// The table holds none.
    Absent,
    /// What stands in its columns is none.
    Malformed,
    /// Wrapped, and what it is bound to.
    Wrapped(WrappedKey, Vec<u8>),
}

/// Implemented once, by [`TableOf`].
#[tonic::async_trait]
pub trait Table: Send + Sync {
    fn name(&self) -> &'static str;

    fn columns(&self) -> Vec<&'static str>;

    /// Whether a service that starts on an empty store writes rows here.
    fn is_made_at_start(&self) -> bool;

    async fn is_empty(&self, txn: &DatabaseTransaction) -> Result<bool, CustodyError>;

    /// Keeps other replicas from writing to it until the transaction ends.
    async fn lock(&self, txn: &DatabaseTransaction) -> Result<(), CustodyError>;

    async fn clear(&self, txn: &DatabaseTransaction) -> Result<(), CustodyError>;

    /// Writes every row, one at a time.
    async fn dump(&self, txn: &DatabaseTransaction, draft: &mut Draft) -> Result<(), CustodyError>;

    /// Inserts rows of these columns; the others take their defaults.
    async fn insert(
        &self,
        txn: &DatabaseTransaction,
        columns: &[String],
        rows: Vec<Vec<Cell>>,
    ) -> Result<(), CustodyError>;

    /// After the last insertion.
    async fn finish(&self, txn: &DatabaseTransaction) -> Result<(), CustodyError>;

    fn key(&self, columns: &[String], row: &[Cell]) -> RowKey;
}

pub struct TableOf<E: EntityTrait> {
    keys: Option<Wrapped<E>>,
    made_at_start: bool,
    entity: PhantomData<E>,
}

/// A table that goes into backups.
pub fn table<E: EntityTrait>() -> TableOf<E> {
    TableOf {
        keys: None,
        made_at_start: false,
        entity: PhantomData,
    }
}

impl<E: EntityTrait> TableOf<E> {
    /// Its data keys, which verifying a backup opens.
    pub fn with_keys(mut self, keys: Wrapped<E>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// A service that starts on an empty store writes rows here by itself: they
    /// do not make a store one with data, and a restore replaces them.
    pub fn made_at_start(mut self) -> Self {
        self.made_at_start = true;
        self
    }
}

fn column<E: EntityTrait>(name: &str) -> Option<E::Column> {
    E::Column::iter().find(|column| column.as_str() == name)
}

fn cells<E: EntityTrait>(row: QueryResult) -> Result<Vec<Cell>, CustodyError> {
    let model = E::Model::from_query_result(&row, "")?;
    E::Column::iter()
        .map(|column| {
            Cell::from_value(model.get(column)).ok_or_else(|| {
                CustodyError::from(BackupError::Unsupported {
                    table: E::default().table_name(),
                    column: column.as_str(),
                })
            })
        })
        .collect()
}

#[tonic::async_trait]
impl<E: EntityTrait> Table for TableOf<E> {
    fn name(&self) -> &'static str {
        E::default().table_name()
    }

    fn columns(&self) -> Vec<&'static str> {
        E::Column::iter().map(|column| column.as_str()).collect()
    }

    fn is_made_at_start(&self) -> bool {
        self.made_at_start
    }

    async fn is_empty(&self, txn: &DatabaseTransaction) -> Result<bool, CustodyError> {
        Ok(E::find().one(txn).await?.is_none())
    }

    async fn lock(&self, txn: &DatabaseTransaction) -> Result<(), CustodyError> {
        // SQLite has one writer, and this is it.
        if is_postgres(txn) {
            let lock = format!(
                r#"LOCK TABLE "{}" IN SHARE ROW EXCLUSIVE MODE"#,
                self.name()
            );
            txn.execute_unprepared(&lock).await?;
        }
        Ok(())
    }

    async fn clear(&self, txn: &DatabaseTransaction) -> Result<(), CustodyError> {
        E::delete_many().exec(txn).await?;
        Ok(())
    }

    async fn dump(&self, txn: &DatabaseTransaction, draft: &mut Draft) -> Result<(), CustodyError> {
        let query = E::find().into_query();
        let mut rows = StreamTrait::stream(txn, &query).await?.boxed();
        while let Some(row) = rows.try_next().await? {
            let cells = cells::<E>(row)?;
            draft.row(self.name(), &cells).await?;
        }
        Ok(())
    }

    async fn insert(
        &self,
        txn: &DatabaseTransaction,
        columns: &[String],
        rows: Vec<Vec<Cell>>,
    ) -> Result<(), CustodyError> {
        let table = self.name();
        let mut known = Vec::with_capacity(columns.len());
        for name in columns {
            known.push(column::<E>(name).ok_or_else(|| BackupError::UnknownColumn {
                table: table.into(),
                column: name.clone(),
            })?);
        }
        let types: Vec<_> = known
            .iter()
            .map(|column| <E::Model as ModelTrait>::get_value_type(*column))
            .collect();
        let together = (MOST_PARAMETERS / columns.len().max(1)).max(1);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut insert = Query::insert();
            insert
                .into_table(E::default().table_ref())
                .columns(known.iter().copied());
            for row in rows.by_ref().take(together) {
                let fits = row.len() == types.len()
                    && row.iter().zip(&types).all(|(cell, kind)| cell.fits(kind));
                if !fits {
                    return Err(BackupError::Misfit { table }.into());
                }
                let values = row.into_iter().map(|cell| Expr::val(cell.into_value()));
                if insert.values(values).is_err() {
                    return Err(BackupError::Misfit { table }.into());
                }
            }
            txn.execute(&insert).await?;
        }
        Ok(())
    }

    async fn finish(&self, txn: &DatabaseTransaction) -> Result<(), CustodyError> {
        let key = E::PrimaryKey::iter().next();
        if let Some(key) = key
            && <E::PrimaryKey as PrimaryKeyTrait>::auto_increment()
            && is_postgres(txn)
        {
            // What was inserted with its key has not moved the sequence on.
            let (table, key) = (self.name(), key.into_column());
            let column = key.as_str();
            let advance = format!(
                r#"SELECT setval(pg_get_serial_sequence('"{table}"', '{column}'),
                    (SELECT MAX("{column}") FROM "{table}"))"#
            );
            txn.execute_unprepared(&advance).await?;
        }
        Ok(())
    }

    fn key(&self, columns: &[String], row: &[Cell]) -> RowKey {
        let Some(keys) = &self.keys else {
            return RowKey::Absent;
        };
        let value = |column: E::Column| {
            let at = columns.iter().position(|name| name == column.as_str())?;
            row.get(at).map(Cell::to_value)
        };
        let (Some(epoch), Some(key), Some(bound_to)) =
            (value(keys.epoch), value(keys.key), value(keys.bound_to))
        else {
            return RowKey::Malformed;
        };
        match wrapped_key(epoch, key, bound_to) {
            Some((key, bound_to)) => RowKey::Wrapped(key, bound_to),
            None => RowKey::Malformed,
        }
    }
}
