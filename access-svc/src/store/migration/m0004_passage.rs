//! Free passage of sites, and both orders of devices.

use sea_orm_migration::{prelude::*, schema::boolean};

pub(super) struct Orders;

impl MigrationName for Orders {
    fn name(&self) -> &str {
        "m0004_passage"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Orders {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column a statement.
        for (table, column) in [
            ("sites", "free_passage"),
            ("devices", "lockdown"),
            ("devices", "free_passage"),
        ] {
            let alter = Table::alter()
                .table(Alias::new(table))
                .add_column(boolean(column).default(false))
                .to_owned();
            manager.alter_table(alter).await?;
        }
        Ok(())
    }
}
