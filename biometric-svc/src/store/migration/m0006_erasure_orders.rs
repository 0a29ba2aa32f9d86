//! Why a subject is erased and by whose order, for both receipts to say.

use sea_orm_migration::{prelude::*, schema};

pub(super) struct ErasureOrders;

impl MigrationName for ErasureOrders {
    fn name(&self) -> &str {
        "m0006_erasure_orders"
    }
}

#[derive(Iden)]
enum Erasures {
    Table,
    Reason,
    RequestedBy,
}

#[async_trait::async_trait]
impl MigrationTrait for ErasureOrders {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column a statement.
        for column in [Erasures::Reason, Erasures::RequestedBy] {
            let add = Table::alter()
                .table(Erasures::Table)
                .add_column(schema::text_null(column))
                .to_owned();
            manager.alter_table(add).await?;
        }
        Ok(())
    }
}
