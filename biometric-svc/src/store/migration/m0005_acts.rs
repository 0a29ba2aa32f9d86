//! What was done to the store, for the audit log to ask for.

use sea_orm_migration::{prelude::*, schema};

pub(super) struct NumberedActs;

impl MigrationName for NumberedActs {
    fn name(&self) -> &str {
        "m0005_acts"
    }
}

#[derive(Iden)]
enum Acts {
    Table,
    Number,
    Id,
    At,
    Code,
    Subject,
    Actor,
    Request,
}

#[async_trait::async_trait]
impl MigrationTrait for NumberedActs {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Acts::Table)
                    .col(schema::big_pk_auto(Acts::Number))
                    .col(schema::uuid_uniq(Acts::Id))
                    .col(schema::big_integer(Acts::At))
                    .col(schema::string(Acts::Code))
                    .col(schema::string(Acts::Subject))
                    .col(schema::string(Acts::Actor))
                    .col(schema::string_null(Acts::Request))
                    .to_owned(),
            )
            .await
    }
}
