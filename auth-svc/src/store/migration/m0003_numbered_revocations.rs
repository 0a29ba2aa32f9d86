//! Revocations in the order of their commits, so that replicas and verifiers
//! read on from the last one they know; and whose they are.

use sea_orm_migration::{prelude::*, schema};

pub(super) struct NumberedRevocations;

impl MigrationName for NumberedRevocations {
    fn name(&self) -> &str {
        "m0003_numbered_revocations"
    }
}

#[derive(Iden)]
enum StateVersion {
    Table,
    Revocations,
}

#[derive(Iden)]
enum Revocations {
    Table,
    Number,
    ClientId,
    ExpiresAt,
}

/// Numbers what is there already, and counts on from it.
const NUMBER: [&str; 2] = [
    "UPDATE revocations SET number = numbered.number FROM \
     (SELECT jti, ROW_NUMBER() OVER (ORDER BY jti) AS number FROM revocations) AS numbered \
     WHERE numbered.jti = revocations.jti",
    "UPDATE state_version SET revocations = (SELECT COALESCE(MAX(number), 0) FROM revocations)",
];

#[async_trait::async_trait]
impl MigrationTrait for NumberedRevocations {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for change in [
            Table::alter()
                .table(StateVersion::Table)
                .add_column(
                    schema::big_integer(StateVersion::Revocations)
                        .default(0)
                        .take(),
                )
                .to_owned(),
            Table::alter()
                .table(Revocations::Table)
                .add_column(schema::big_integer(Revocations::Number).default(0).take())
                .to_owned(),
            Table::alter()
                .table(Revocations::Table)
                .add_column(schema::string(Revocations::ClientId).default("").take())
                .to_owned(),
        ] {
            manager.alter_table(change).await?;
        }
        for statement in NUMBER {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        for index in [
            Index::create()
                .name("revocations_by_number")
                .table(Revocations::Table)
                .col(Revocations::Number)
                .to_owned(),
            Index::create()
                .name("revocations_by_client")
                .table(Revocations::Table)
                .col(Revocations::ClientId)
                .col(Revocations::ExpiresAt)
                .to_owned(),
        ] {
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
