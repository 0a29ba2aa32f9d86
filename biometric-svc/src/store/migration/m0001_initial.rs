//! Subjects, their templates and galleries.

use mesh::db::named_key;
use sea_orm_migration::{prelude::*, schema};

pub(super) struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &str {
        "m0001_initial"
    }
}

#[derive(Iden)]
enum Subjects {
    Table,
    Id,
    Epoch,
    WrappedKey,
    CreatedAt,
}

#[derive(Iden)]
enum Templates {
    Table,
    Id,
    SubjectId,
    Model,
    ModelVersion,
    Sealed,
    ConsentSealed,
    ConsentedAt,
    CreatedAt,
}

#[derive(Iden)]
enum SubjectGalleries {
    Table,
    SubjectId,
    GalleryId,
}

#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        named_key::migrate(manager).await?;
        manager
            .create_table(
                Table::create()
                    .table(Subjects::Table)
                    .col(schema::uuid(Subjects::Id).primary_key())
                    .col(schema::big_integer(Subjects::Epoch))
                    .col(schema::blob(Subjects::WrappedKey))
                    .col(schema::big_integer(Subjects::CreatedAt))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(Templates::Table)
                    .col(schema::uuid(Templates::Id).primary_key())
                    .col(schema::uuid(Templates::SubjectId))
                    .col(schema::string(Templates::Model))
                    .col(schema::string(Templates::ModelVersion))
                    .col(schema::blob(Templates::Sealed))
                    .col(schema::blob(Templates::ConsentSealed))
                    .col(schema::big_integer(Templates::ConsentedAt))
                    .col(schema::big_integer(Templates::CreatedAt))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("templates_by_subject")
                    .table(Templates::Table)
                    .col(Templates::SubjectId)
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(SubjectGalleries::Table)
                    .col(schema::uuid(SubjectGalleries::SubjectId))
                    .col(schema::uuid(SubjectGalleries::GalleryId))
                    .primary_key(
                        Index::create()
                            .col(SubjectGalleries::SubjectId)
                            .col(SubjectGalleries::GalleryId),
                    )
                    .to_owned(),
            )
            .await
    }
}
