//! Key epochs that end, and backups.

use mesh::{custody, db::lease};
use sea_orm_migration::prelude::*;

pub(super) struct Custody;

impl MigrationName for Custody {
    fn name(&self) -> &str {
        "m0005_custody"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Custody {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        lease::migrate(manager).await?;
        custody::migrate(manager).await?;
        let by_epoch = Index::create()
            .name("signing_keys_by_epoch")
            .table(Alias::new("signing_keys"))
            .col(Alias::new("epoch"))
            .to_owned();
        manager.create_index(by_epoch).await
    }
}
