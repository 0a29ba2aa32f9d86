//! Secrets that sign webhooks, sealed.

use sea_orm_migration::{prelude::*, schema};

pub(super) struct SignedWebhooks;

impl MigrationName for SignedWebhooks {
    fn name(&self) -> &str {
        "m0004_webhook_secrets"
    }
}

#[derive(Iden)]
enum WebhookSecrets {
    Table,
    Id,
    ClientId,
    Epoch,
    WrappedKey,
    Sealed,
    CreatedAt,
    ExpiresAt,
}

#[async_trait::async_trait]
impl MigrationTrait for SignedWebhooks {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(WebhookSecrets::Table)
                    .col(schema::uuid(WebhookSecrets::Id).primary_key())
                    .col(schema::string(WebhookSecrets::ClientId))
                    .col(schema::big_integer(WebhookSecrets::Epoch))
                    .col(schema::blob(WebhookSecrets::WrappedKey))
                    .col(schema::blob(WebhookSecrets::Sealed))
                    .col(schema::big_integer(WebhookSecrets::CreatedAt))
                    .col(schema::big_integer_null(WebhookSecrets::ExpiresAt))
                    .to_owned(),
            )
            .await?;
        let index = Index::create()
            .name("webhook_secrets_by_client")
            .table(WebhookSecrets::Table)
            .col(WebhookSecrets::ClientId)
            .to_owned();
        manager.create_index(index).await
    }
}
