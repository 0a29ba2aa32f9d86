//! Tables with every type of column, one of them filled from the start.

use sea_orm_migration::{prelude::*, schema};

use crate::db::{lease, named_key};

#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
pub(crate) mod thing {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "things")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub epoch: i64,
        pub wrapped_key: Vec<u8>,
        pub sealed: Vec<u8>,
        pub kind: i16,
        pub count: i32,
        pub flag: bool,
        pub note: Option<String>,
        pub site: Option<Uuid>,
        pub ends_at: Option<i64>,
        pub extra: Option<Vec<u8>>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
pub(crate) mod change {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "changes")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub what: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A row of it is there from the first migration on.
#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
pub(crate) mod version {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "version")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) struct Migrator;

#[tonic::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Initial)]
    }
}

struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &str {
        "m0001_initial"
    }
}

#[tonic::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        named_key::migrate(manager).await?;
        lease::migrate(manager).await?;
        crate::custody::migrate(manager).await?;
        let things = Table::create()
            .table(Alias::new("things"))
            .col(schema::uuid("id").primary_key())
            .col(schema::big_integer("epoch"))
            .col(schema::blob("wrapped_key"))
            .col(schema::blob("sealed"))
            .col(schema::small_integer("kind"))
            .col(schema::integer("count"))
            .col(schema::boolean("flag"))
            .col(schema::text_null("note"))
            .col(schema::uuid_null("site"))
            .col(schema::big_integer_null("ends_at"))
            .col(schema::blob_null("extra"))
            .to_owned();
        let changes = Table::create()
            .table(Alias::new("changes"))
            .col(schema::big_integer("id").auto_increment().primary_key())
            .col(schema::string("what"))
            .to_owned();
        let version = Table::create()
            .table(Alias::new("version"))
            .col(schema::integer("id").primary_key())
            .col(schema::big_integer("version"))
            .to_owned();
        for table in [things, changes, version] {
            manager.create_table(table).await?;
        }
        let first = Query::insert()
            .into_table(Alias::new("version"))
            .columns([Alias::new("id"), Alias::new("version")])
            // Typed as the column: PostgreSQL keeps the statement with its types.
            .values_panic([1_i32.into(), 1_i64.into()])
            .to_owned();
        manager.execute(first).await
    }
}
