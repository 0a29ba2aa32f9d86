//! Long-lived keys of a service (a pseudonym key, a probe's MAC key): random,
//! wrapped by the keyring, one row a name, made at first start. Replicas that
//! start together agree on the row that was written first.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait,
    QueryFilter, QueryOrder,
};
use sea_orm_migration::{
    prelude::{Iden, SchemaManager, Table, TableCreateStatement, sea_query},
    schema,
};

use crate::{
    crypto::Key,
    keyring::{Keyring, KeyringError, WrappedKey},
};

#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
pub(crate) mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "named_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub epoch: i64,
        pub sealed: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Iden)]
enum NamedKeys {
    Table,
    Name,
    Epoch,
    Sealed,
}

fn table() -> TableCreateStatement {
    Table::create()
        .table(NamedKeys::Table)
        .col(schema::string(NamedKeys::Name).primary_key())
        .col(schema::big_integer(NamedKeys::Epoch))
        .col(schema::blob(NamedKeys::Sealed))
        .to_owned()
}

/// Creates the table, in a service's first migration.
pub async fn migrate(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager.create_table(table()).await
}

#[derive(Debug, thiserror::Error)]
pub enum NamedKeyError {
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    #[error("the key {name} of the database: {source}")]
    Keyring { name: String, source: KeyringError },
}

/// The key of that name as it is stored; none where none was made.
pub async fn wrapped(db: &impl ConnectionTrait, name: &str) -> Result<Option<WrappedKey>, DbErr> {
    let row = entity::Entity::find_by_id(name).one(db).await?;
    Ok(row.map(|row| WrappedKey {
        epoch: row.epoch,
        sealed: row.sealed,
    }))
}

/// The names that begin so, in their order.
pub async fn names(db: &impl ConnectionTrait, prefix: &str) -> Result<Vec<String>, DbErr> {
    let rows = entity::Entity::find()
        .filter(entity::Column::Name.starts_with(prefix))
        .order_by_asc(entity::Column::Name)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Destroys a key: what it sealed opens for nobody any more.
pub async fn destroy(db: &impl ConnectionTrait, name: &str) -> Result<(), DbErr> {
    entity::Entity::delete_by_id(name).exec(db).await?;
    Ok(())
}

/// The key of that name, made if there is none.
pub async fn load_or_create(
    db: &DatabaseConnection,
    keyring: &Keyring,
    name: &str,
) -> Result<Key, NamedKeyError> {
    let fault = |source| NamedKeyError::Keyring {
        name: name.into(),
        source,
    };
    if entity::Entity::find_by_id(name).one(db).await?.is_none() {
        let (_, wrapped) = keyring.new_data_key(name.as_bytes()).map_err(fault)?;
        let inserted = entity::Entity::insert(entity::ActiveModel {
            name: Set(name.into()),
            epoch: Set(wrapped.epoch),
            sealed: Set(wrapped.sealed),
        })
        .exec_without_returning(db)
        .await;
        match inserted {
            Err(error) if !super::is_unique_violation(&error) => return Err(error.into()),
            _ => {}
        }
    }
    let wrapped = wrapped(db, name)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound(name.into()))?;
    keyring.unwrap(&wrapped, name.as_bytes()).map_err(fault)
}
