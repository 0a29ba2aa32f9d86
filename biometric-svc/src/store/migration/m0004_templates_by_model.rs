//! Templates are counted by model without being read.

use sea_orm_migration::prelude::*;

pub(super) struct TemplatesByModel;

impl MigrationName for TemplatesByModel {
    fn name(&self) -> &str {
        "m0004_templates_by_model"
    }
}

#[derive(Iden)]
enum Templates {
    Table,
    Model,
    ModelVersion,
    SubjectId,
}

#[async_trait::async_trait]
impl MigrationTrait for TemplatesByModel {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_index(
                Index::create()
                    .name("templates_by_model")
                    .table(Templates::Table)
                    .col(Templates::Model)
                    .col(Templates::ModelVersion)
                    .col(Templates::SubjectId)
                    .to_owned(),
            )
            .await
    }
}
