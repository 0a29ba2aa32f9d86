//! Keys in epochs, backups, and erasures with their receipts.

use mesh::{custody, db::lease};
use sea_orm_migration::{prelude::*, schema};

pub(super) struct Custody;

impl MigrationName for Custody {
    fn name(&self) -> &str {
        "m0003_custody"
    }
}

#[derive(Iden)]
enum Subjects {
    Table,
    Epoch,
}

#[derive(Iden)]
enum Erasures {
    Table,
    SubjectId,
    Pseudonym,
    Templates,
    Epoch,
    BegunAt,
    ErasedAt,
    LedgerNumber,
    FinalAt,
    Receipt,
    FinalReceipt,
}

#[async_trait::async_trait]
impl MigrationTrait for Custody {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        lease::migrate(manager).await?;
        custody::migrate(manager).await?;
        manager
            .create_index(
                Index::create()
                    .name("subjects_by_epoch")
                    .table(Subjects::Table)
                    .col(Subjects::Epoch)
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(Erasures::Table)
                    .col(schema::uuid(Erasures::SubjectId).primary_key())
                    .col(schema::uuid(Erasures::Pseudonym))
                    .col(schema::big_integer(Erasures::Templates))
                    .col(schema::big_integer(Erasures::Epoch))
                    .col(schema::big_integer(Erasures::BegunAt))
                    .col(schema::big_integer_null(Erasures::ErasedAt))
                    .col(schema::big_integer_null(Erasures::LedgerNumber))
                    .col(schema::big_integer_null(Erasures::FinalAt))
                    .col(schema::text_null(Erasures::Receipt))
                    .col(schema::text_null(Erasures::FinalReceipt))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("erasures_by_pseudonym")
                    .table(Erasures::Table)
                    .col(Erasures::Pseudonym)
                    .to_owned(),
            )
            .await
    }
}
