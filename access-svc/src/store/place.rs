//! What the tables of sites, buildings, entrances, devices and groups have in common: a name, a
//! version, ids in other systems, and parents that must be there.

#[cfg(test)]
mod tests;

use mesh::Caller;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    sea_query::{Expr, ExprTrait, LockType},
};
use uuid::Uuid;

use super::{ObjectId, Page, Store, entity, external_id};
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::{ExternalIds, Object},
    },
    error::{Error, Noun},
};

/// What a caller wants of something with a name; none leaves as it is.
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) external_ids: Option<ExternalIds>,
    pub(crate) if_match: IfMatch,
    pub(crate) by: Caller,
}

/// A table of such things.
pub(super) trait Named: EntityTrait {
    const OBJECT: Object;
    const NOUN: Noun;
    const ID: Self::Column;
    const NAME: Self::Column;
    const VERSION: Self::Column;

    /// Id, name and version of a row.
    fn facts(row: &Self::Model) -> (Uuid, &str, Version);
}

/// The row as the caller read it; until the transaction ends nobody else changes it.
pub(super) async fn to_change<E: Named>(
    txn: &DatabaseTransaction,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<E::Model, Error> {
    held::<E>(txn, id, LockType::NoKeyUpdate, if_match).await
}

/// The row as the caller read it; until the transaction ends nothing is put below it.
pub(super) async fn to_delete<E: Named>(
    txn: &DatabaseTransaction,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<E::Model, Error> {
    held::<E>(txn, id, LockType::Update, if_match).await
}

/// What something is put below: a deletion waits until the transaction ends.
pub(super) async fn parent<E: Named>(
    txn: &DatabaseTransaction,
    id: Uuid,
) -> Result<E::Model, Error> {
    held::<E>(txn, id, LockType::KeyShare, &IfMatch::default()).await
}

async fn held<E: Named>(
    txn: &DatabaseTransaction,
    id: Uuid,
    lock: LockType,
    if_match: &IfMatch,
) -> Result<E::Model, Error> {
    let row = E::find()
        .filter(ColumnTrait::eq(&E::ID, id))
        .lock(lock)
        .one(txn)
        .await?
        .ok_or(Error::NotFound(E::NOUN))?;
    let (_, _, version) = E::facts(&row);
    if_match.check(version)?;
    Ok(row)
}

/// The row as it is then; none where nothing changes. `columns` are those that only this table
/// has; `touched` says that something of it in another table has changed.
pub(super) async fn change<E: Named>(
    store: &Store,
    txn: &DatabaseTransaction,
    row: &E::Model,
    change: Change,
    columns: Vec<(E::Column, Expr)>,
    touched: bool,
) -> Result<Option<E::Model>, Error> {
    let (id, name, _) = E::facts(row);
    let object = ObjectId {
        object: E::OBJECT,
        id,
    };
    let called = match change.external_ids {
        Some(given) => external_id::give(store, txn, object, given, &change.by).await?,
        None => false,
    };
    let name = change.name.filter(|new| new != name);
    let changes = called || touched || name.is_some() || !columns.is_empty();
    if !changes {
        return Ok(None);
    }
    let mut update = E::update_many()
        .col_expr(E::VERSION, next_version::<E>())
        .filter(ColumnTrait::eq(&E::ID, id));
    if let Some(name) = name {
        update = update.col_expr(E::NAME, Expr::value(name));
    }
    for (column, value) in columns {
        update = update.col_expr(column, value);
    }
    update.exec(txn).await?;
    Ok(Some(there::<E>(txn, id).await?))
}

pub(super) fn next_version<E: Named>() -> Expr {
    Expr::col(ColumnTrait::as_column_ref(&E::VERSION)).add(1)
}

pub(super) async fn there<E: Named>(
    txn: &DatabaseTransaction,
    id: Uuid,
) -> Result<E::Model, Error> {
    let row = E::find()
        .filter(ColumnTrait::eq(&E::ID, id))
        .one(txn)
        .await?;
    row.ok_or(Error::NotFound(E::NOUN))
}

/// A page by id; of those whose column names `below`, where that is asked for.
pub(super) async fn list<E: Named>(
    store: &Store,
    below: Option<(E::Column, Uuid)>,
    page: Page,
) -> Result<Vec<E::Model>, Error> {
    let mut query = E::find().order_by_asc(E::ID);
    if let Some((column, id)) = below {
        query = query.filter(ColumnTrait::eq(&column, id));
    }
    if let Some(after) = page.after {
        query = query.filter(ColumnTrait::gt(&E::ID, after));
    }
    Ok(query.limit(page.limit).all(&store.db.read).await?)
}

/// With what other systems call it.
pub(super) async fn remove<E: Named>(txn: &DatabaseTransaction, id: Uuid) -> Result<(), Error> {
    external_id::forget(txn, E::OBJECT, vec![id]).await?;
    E::delete_many()
        .filter(ColumnTrait::eq(&E::ID, id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Whether any row of a table names this one.
pub(super) async fn is_named<E: EntityTrait>(
    txn: &DatabaseTransaction,
    column: E::Column,
    id: Uuid,
) -> Result<bool, Error> {
    let row = E::find()
        .filter(ColumnTrait::eq(&column, id))
        .one(txn)
        .await?;
    Ok(row.is_some())
}

/// With what other systems call them; `column` says what they are on.
pub(super) async fn end_grants(
    txn: &DatabaseTransaction,
    column: entity::grant::Column,
    on: Uuid,
) -> Result<(), Error> {
    use entity::{
        external_id,
        grant::{Column, Entity},
    };
    let ended = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(column.eq(on))
        .into_query();
    external_id::Entity::delete_many()
        .filter(external_id::Column::Noun.eq(Object::Grant.code()))
        .filter(external_id::Column::ObjectId.in_subquery(ended))
        .exec(txn)
        .await?;
    Entity::delete_many()
        .filter(column.eq(on))
        .exec(txn)
        .await?;
    Ok(())
}
