//! Other ways for a client to prove itself, limits, keys that rotate,
//! revocations, assertions used, and the audit's outbox.

use sea_orm_migration::{prelude::*, schema};

pub(super) struct WholeServer;

impl MigrationName for WholeServer {
    fn name(&self) -> &str {
        "m0002_whole_server"
    }
}

#[derive(Iden)]
enum Clients {
    Table,
    Jwks,
    CertificateThumbprint,
    CertificateSubject,
    CertificateCa,
    ClientLifetimeS,
    SubjectLifetimeS,
    RequestsPerSecond,
    Burst,
    MissesPerMinute,
    DeviceMissesPerMinute,
}

#[derive(Iden)]
enum ClientSecrets {
    Table,
    ExpiresAt,
}

#[derive(Iden)]
enum SigningKeys {
    Table,
    Algorithm,
    SignsFrom,
}

#[derive(Iden)]
enum Revocations {
    Table,
    Jti,
    ExpiresAt,
}

#[derive(Iden)]
enum UsedAssertions {
    Table,
    Mac,
    ExpiresAt,
}

#[derive(Iden)]
enum Outbox {
    Table,
    Id,
    Payload,
}

async fn add(
    manager: &SchemaManager<'_>,
    table: impl IntoTableRef,
    columns: impl IntoIterator<Item = ColumnDef>,
) -> Result<(), DbErr> {
    let table = table.into_table_ref();
    // SQLite adds one column a statement.
    for column in columns {
        let change = Table::alter()
            .table(table.clone())
            .add_column(column)
            .to_owned();
        manager.alter_table(change).await?;
    }
    Ok(())
}

#[async_trait::async_trait]
impl MigrationTrait for WholeServer {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            schema::text_null(Clients::Jwks),
            schema::blob_null(Clients::CertificateThumbprint),
            schema::text_null(Clients::CertificateSubject),
            schema::text_null(Clients::CertificateCa),
            schema::integer_null(Clients::ClientLifetimeS),
            schema::integer_null(Clients::SubjectLifetimeS),
            schema::integer_null(Clients::RequestsPerSecond),
            schema::integer_null(Clients::Burst),
            schema::integer_null(Clients::MissesPerMinute),
            schema::integer_null(Clients::DeviceMissesPerMinute),
        ];
        add(manager, Clients::Table, columns).await?;
        let columns = [schema::big_integer_null(ClientSecrets::ExpiresAt)];
        add(manager, ClientSecrets::Table, columns).await?;
        let columns = [
            schema::string(SigningKeys::Algorithm)
                .default("ES256")
                .take(),
            schema::big_integer(SigningKeys::SignsFrom)
                .default(0)
                .take(),
        ];
        add(manager, SigningKeys::Table, columns).await?;
        for table in [
            Table::create()
                .table(Revocations::Table)
                .col(schema::uuid(Revocations::Jti).primary_key())
                .col(schema::big_integer(Revocations::ExpiresAt))
                .to_owned(),
            Table::create()
                .table(UsedAssertions::Table)
                .col(schema::blob(UsedAssertions::Mac).primary_key())
                .col(schema::big_integer(UsedAssertions::ExpiresAt))
                .to_owned(),
            Table::create()
                .table(Outbox::Table)
                .col(schema::uuid(Outbox::Id).primary_key())
                .col(schema::blob(Outbox::Payload))
                .to_owned(),
        ] {
            manager.create_table(table).await?;
        }
        Ok(())
    }
}
