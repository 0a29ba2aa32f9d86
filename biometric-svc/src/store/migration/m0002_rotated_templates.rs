//! Templates under a secret rotation, a subject's galleries in its own row, and
//! the feed by which replicas follow each other.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use sea_orm_migration::{prelude::*, schema};
use uuid::Uuid;

pub(super) struct RotatedTemplates;

impl MigrationName for RotatedTemplates {
    fn name(&self) -> &str {
        "m0002_rotated_templates"
    }
}

#[derive(Iden)]
enum Subjects {
    Table,
    Id,
    Galleries,
}

#[derive(Iden)]
enum SubjectGalleries {
    Table,
    SubjectId,
    GalleryId,
}

#[derive(Iden)]
enum Templates {
    Table,
    Rotation,
}

#[derive(Iden)]
enum Rotations {
    Table,
    Model,
    Version,
    Number,
    Renewals,
    Epoch,
    WrappedKey,
    Sealed,
    CreatedAt,
}

#[derive(Iden)]
enum Changes {
    Table,
    Seq,
    SubjectId,
    Replica,
    At,
}

#[derive(Iden)]
enum Replicas {
    Table,
    Id,
    Applied,
    Beat,
}

#[async_trait::async_trait]
impl MigrationTrait for RotatedTemplates {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = Table::alter()
            .table(Subjects::Table)
            .add_column(
                ColumnDef::new(Subjects::Galleries)
                    .blob()
                    .not_null()
                    .default(Vec::<u8>::new()),
            )
            .to_owned();
        manager.alter_table(add).await?;
        move_galleries(manager).await?;
        let drop = Table::drop().table(SubjectGalleries::Table).to_owned();
        manager.drop_table(drop).await?;
        // 0: the float32 vector itself, until the service has started once.
        let add = Table::alter()
            .table(Templates::Table)
            .add_column(
                ColumnDef::new(Templates::Rotation)
                    .integer()
                    .not_null()
                    .default(0),
            )
            .to_owned();
        manager.alter_table(add).await?;
        for table in tables() {
            manager.create_table(table).await?;
        }
        Ok(())
    }
}

async fn move_galleries(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    let select = Query::select()
        .columns([SubjectGalleries::SubjectId, SubjectGalleries::GalleryId])
        .from(SubjectGalleries::Table)
        .to_owned();
    let mut galleries: BTreeMap<Uuid, Vec<u8>> = BTreeMap::new();
    for row in db.query_all(&select).await? {
        let subject: Uuid = row.try_get("", "subject_id")?;
        let gallery: Uuid = row.try_get("", "gallery_id")?;
        galleries
            .entry(subject)
            .or_default()
            .extend_from_slice(gallery.as_bytes());
    }
    for (subject, galleries) in galleries {
        let update = Query::update()
            .table(Subjects::Table)
            .value(Subjects::Galleries, galleries)
            .and_where(Expr::col(Subjects::Id).eq(subject))
            .to_owned();
        db.execute(&update).await?;
    }
    Ok(())
}

fn tables() -> [TableCreateStatement; 3] {
    [
        Table::create()
            .table(Rotations::Table)
            .col(schema::string(Rotations::Model))
            .col(schema::string(Rotations::Version))
            .col(schema::integer(Rotations::Number))
            .col(schema::integer(Rotations::Renewals))
            .col(schema::big_integer(Rotations::Epoch))
            .col(schema::blob(Rotations::WrappedKey))
            .col(schema::blob(Rotations::Sealed))
            .col(schema::big_integer(Rotations::CreatedAt))
            .primary_key(
                Index::create()
                    .col(Rotations::Model)
                    .col(Rotations::Version)
                    .col(Rotations::Number),
            )
            .to_owned(),
        Table::create()
            .table(Changes::Table)
            .col(schema::big_pk_auto(Changes::Seq))
            .col(schema::uuid(Changes::SubjectId))
            .col(schema::uuid(Changes::Replica))
            .col(schema::big_integer(Changes::At))
            .to_owned(),
        Table::create()
            .table(Replicas::Table)
            .col(schema::uuid(Replicas::Id).primary_key())
            .col(schema::big_integer(Replicas::Applied))
            .col(schema::big_integer(Replicas::Beat))
            .to_owned(),
    ]
}
