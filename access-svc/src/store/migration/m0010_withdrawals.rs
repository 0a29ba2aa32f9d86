//! Who withdrew, for the biometric store's receipt to say.

use sea_orm_migration::{prelude::*, schema::string};

pub(super) struct Withdrawals;

impl MigrationName for Withdrawals {
    fn name(&self) -> &str {
        "m0010_withdrawals"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Withdrawals {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let alter = Table::alter()
            .table(Alias::new("withdrawals"))
            .add_column(string("withdrawn_by").default(""))
            .to_owned();
        manager.alter_table(alter).await
    }
}
