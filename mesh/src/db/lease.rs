//! Work that one replica at a time should do: whoever holds the lease of its
//! name. A lease spares work and does not fence: it ends by the replicas' own
//! clocks, so the work must also bear being done twice, and the term must be
//! much longer than the clocks are apart.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use sea_orm_migration::{
    prelude::{Iden, SchemaManager, Table, TableCreateStatement, sea_query},
    schema,
};
use uuid::Uuid;

use self::entity::{ActiveModel, Column, Entity};
use super::{Db, WriteError};
use crate::clock::to_micros;

#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "leases")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub holder: Uuid,
        pub until: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Iden)]
enum Leases {
    Table,
    Name,
    Holder,
    Until,
}

fn table() -> TableCreateStatement {
    Table::create()
        .table(Leases::Table)
        .col(schema::string(Leases::Name).primary_key())
        .col(schema::uuid(Leases::Holder))
        .col(schema::big_integer(Leases::Until))
        .to_owned()
}

/// Creates the table, in one of a service's migrations.
pub async fn migrate(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager.create_table(table()).await
}

/// One replica's claim to the lease of a name. Clones are the same holder.
#[derive(Clone)]
pub struct Lease {
    db: Db,
    name: Arc<str>,
    holder: Uuid,
}

impl Lease {
    /// A holder that holds nothing yet.
    pub fn new(db: Db, name: &str) -> Self {
        Self {
            db,
            name: name.into(),
            holder: Uuid::new_v4(),
        }
    }

    /// Takes the lease until `now + term`, when nobody has it; true when it is
    /// this holder's.
    pub async fn acquire(&self, now: Timestamp, term: Duration) -> Result<bool, WriteError> {
        let row = ActiveModel {
            name: Set(self.name.to_string()),
            holder: Set(self.holder),
            until: Set(end(now, term)),
        };
        let free = Column::Until
            .lte(to_micros(now))
            .or(Column::Holder.eq(self.holder));
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let taken = Entity::insert(row)
                        .on_conflict(
                            OnConflict::column(Column::Name)
                                .update_columns([Column::Holder, Column::Until])
                                .action_and_where(free)
                                .to_owned(),
                        )
                        .exec_without_returning(txn)
                        .await?;
                    Ok(taken > 0)
                }
                .boxed()
            })
            .await
    }

    /// Holds on until `now + term`; false when another has taken the lease.
    pub async fn renew(&self, now: Timestamp, term: Duration) -> Result<bool, WriteError> {
        let (name, holder) = (self.name.to_string(), self.holder);
        let until = end(now, term);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let renewed = Entity::update_many()
                        .col_expr(Column::Until, Expr::value(until))
                        .filter(Column::Name.eq(name))
                        .filter(Column::Holder.eq(holder))
                        .exec(txn)
                        .await?;
                    Ok(renewed.rows_affected > 0)
                }
                .boxed()
            })
            .await
    }

    /// Lets others have it at once; nothing to do when it was another's.
    pub async fn release(&self) -> Result<(), WriteError> {
        let (name, holder) = (self.name.to_string(), self.holder);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    Entity::delete_many()
                        .filter(Column::Name.eq(name))
                        .filter(Column::Holder.eq(holder))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Whether anybody holds it.
    pub async fn is_held(&self, now: Timestamp) -> Result<bool, DbErr> {
        let row = Entity::find_by_id(self.name.to_string())
            .one(&self.db.read)
            .await?;
        Ok(row.is_some_and(|row| row.until > to_micros(now)))
    }
}

fn end(now: Timestamp, term: Duration) -> i64 {
    let term = i64::try_from(term.as_micros()).unwrap_or(i64::MAX);
    to_micros(now).saturating_add(term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::DatabaseConfig, db::Writer, shutdown::Shutdown};

    const TERM: Duration = Duration::from_secs(30);

    async fn database(folder: &tempfile::TempDir) -> Db {
        let config = DatabaseConfig {
            url: format!("sqlite://{}", folder.path().join("leases.db").display()),
            allow_plaintext_for_development: false,
            max_connections: 2,
        };
        let write = super::super::connect(&config, 1).await.expect("a database");
        migrate(&SchemaManager::new(&write)).await.expect("a table");
        Db {
            read: super::super::connect(&config, 2).await.expect("a database"),
            writer: Writer::start(write, Shutdown::new()),
        }
    }

    /// So many seconds after noon.
    fn at(seconds: i64) -> Timestamp {
        let noon: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        Timestamp::from_second(noon.as_second() + seconds).expect("a time")
    }

    #[tokio::test]
    async fn one_holds_it_until_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = database(&folder).await;
        let (one, two) = (
            Lease::new(db.clone(), "rotation"),
            Lease::new(db.clone(), "rotation"),
        );
        assert!(!one.is_held(at(0)).await.expect("asked"));
        assert!(one.acquire(at(0), TERM).await.expect("asked"));
        assert!(two.is_held(at(0)).await.expect("asked"));
        assert!(!two.acquire(at(29), TERM).await.expect("asked"));
        assert!(!two.renew(at(29), TERM).await.expect("asked"));
        // Another name's lease is another lease.
        let other = Lease::new(db, "backup");
        assert!(other.acquire(at(0), TERM).await.expect("asked"));

        assert!(!one.is_held(at(30)).await.expect("asked"));
        assert!(two.acquire(at(30), TERM).await.expect("asked"));
        assert!(!one.acquire(at(31), TERM).await.expect("asked"));
        assert!(!one.renew(at(31), TERM).await.expect("asked"));
    }

    #[tokio::test]
    async fn it_is_renewed_and_released() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = database(&folder).await;
        let (one, two) = (
            Lease::new(db.clone(), "rotation"),
            Lease::new(db, "rotation"),
        );
        assert!(one.acquire(at(0), TERM).await.expect("asked"));
        assert!(one.renew(at(20), TERM).await.expect("asked"));
        assert!(!two.acquire(at(49), TERM).await.expect("asked"));
        assert!(one.clone().acquire(at(49), TERM).await.expect("asked"));
        two.release().await.expect("not its own");
        assert!(!two.acquire(at(50), TERM).await.expect("asked"));
        one.release().await.expect("released");
        assert!(two.acquire(at(50), TERM).await.expect("asked"));
    }

    #[tokio::test]
    async fn of_many_at_once_one_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = database(&folder).await;
        let claims = (0..20).map(|_| {
            let lease = Lease::new(db.clone(), "rotation");
            async move { lease.acquire(at(0), TERM).await.expect("asked") }
        });
        let taken = futures::future::join_all(claims).await;
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    }
}
