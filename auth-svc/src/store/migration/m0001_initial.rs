//! Clients, their secrets, the signing key, and the version of what verifiers hold.

use mesh::db::named_key;
use sea_orm_migration::{prelude::*, schema};

pub(super) struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &str {
        "m0001_initial"
    }
}

#[derive(Iden)]
enum Clients {
    Table,
    ClientId,
    PartnerId,
    Name,
    Sites,
    Scopes,
    Permissions,
    Disabled,
    CreatedAt,
}

#[derive(Iden)]
enum ClientSecrets {
    Table,
    Id,
    ClientId,
    Hash,
    CreatedAt,
}

#[derive(Iden)]
enum SigningKeys {
    Table,
    Generation,
    Kid,
    Epoch,
    WrappedKey,
    Sealed,
    CreatedAt,
}

#[derive(Iden)]
enum StateVersion {
    Table,
    Id,
    Version,
}

#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        named_key::migrate(manager).await?;
        manager
            .create_table(
                Table::create()
                    .table(Clients::Table)
                    .col(schema::string(Clients::ClientId).primary_key())
                    .col(schema::uuid(Clients::PartnerId))
                    .col(schema::string(Clients::Name))
                    .col(schema::text(Clients::Sites))
                    .col(schema::text(Clients::Scopes))
                    .col(schema::text(Clients::Permissions))
                    .col(schema::boolean(Clients::Disabled))
                    .col(schema::big_integer(Clients::CreatedAt))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(ClientSecrets::Table)
                    .col(schema::uuid(ClientSecrets::Id).primary_key())
                    .col(schema::string(ClientSecrets::ClientId))
                    .col(schema::blob(ClientSecrets::Hash))
                    .col(schema::big_integer(ClientSecrets::CreatedAt))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("client_secrets_by_client")
                    .table(ClientSecrets::Table)
                    .col(ClientSecrets::ClientId)
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(SigningKeys::Table)
                    .col(schema::big_integer(SigningKeys::Generation).primary_key())
                    .col(schema::string(SigningKeys::Kid))
                    .col(schema::big_integer(SigningKeys::Epoch))
                    .col(schema::blob(SigningKeys::WrappedKey))
                    .col(schema::blob(SigningKeys::Sealed))
                    .col(schema::big_integer(SigningKeys::CreatedAt))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(StateVersion::Table)
                    .col(schema::integer(StateVersion::Id).primary_key())
                    .col(schema::big_integer(StateVersion::Version))
                    .to_owned(),
            )
            .await?;
        let first = Query::insert()
            .into_table(StateVersion::Table)
            .columns([StateVersion::Id, StateVersion::Version])
            .values_panic([1.into(), 1.into()])
            .to_owned();
        manager.execute(first).await
    }
}
