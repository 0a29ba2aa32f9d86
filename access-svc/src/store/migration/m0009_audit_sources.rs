//! How far the audit log has followed the services that are asked for their
//! own acts.

use sea_orm_migration::{
    prelude::*,
    schema::{string, uuid},
};

pub(super) struct AuditSources;

impl MigrationName for AuditSources {
    fn name(&self) -> &str {
        "m0009_audit_sources"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AuditSources {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sources = Table::create()
            .table(Alias::new("audit_sources"))
            .col(string("service").primary_key())
            .col(uuid("last"))
            .to_owned();
        manager.create_table(sources).await
    }
}
