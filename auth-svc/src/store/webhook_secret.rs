//! Secrets that sign webhooks, each sealed under a data key of its own.

use std::collections::HashMap;

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    keyring::WrappedKey,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use super::{
    Store, bump,
    client::{find, tell},
    entity::webhook_secret::{ActiveModel, Column, Entity},
    outbox::Encoded,
};
use crate::{
    domain::{
        client::Client,
        webhook_secret::{MOST, SigningSecret, WebhookSecret},
    },
    error::Error,
};

/// What a new secret finds.
#[derive(Clone, Copy)]
pub(crate) enum Arrival {
    First,
    Another { others_expire_at: Option<Timestamp> },
}

impl Store {
    /// Every secret's value, by client.
    pub(crate) async fn signing_secrets(
        &self,
    ) -> Result<HashMap<String, Vec<SigningSecret>>, Error> {
        let rows = Entity::find()
            .order_by_asc(Column::Id)
            .all(&self.db.read)
            .await?;
        let mut by_client: HashMap<String, Vec<SigningSecret>> = HashMap::new();
        for row in rows {
            let wrapped = WrappedKey {
                epoch: row.epoch,
                sealed: row.wrapped_key,
            };
            let key = self.keyring.unwrap(&wrapped, row.id.as_bytes())?;
            let secret = SigningSecret {
                value: key.open(&row.sealed, &context(row.id, &row.client_id))?,
                expires_at: row.expires_at.map(from_micros),
            };
            by_client.entry(row.client_id).or_default().push(secret);
        }
        Ok(by_client)
    }

    /// Adds a secret; those that have ended make room for it.
    pub(crate) async fn add_webhook_secret(
        &self,
        client_id: String,
        secret: WebhookSecret,
        value: &[u8],
        arrival: Arrival,
        event: impl FnOnce(&Client) -> Encoded + Send + 'static,
    ) -> Result<Option<Client>, Error> {
        let (key, wrapped) = self.keyring.new_data_key(secret.id.as_bytes())?;
        let row = ActiveModel {
            id: Set(secret.id),
            client_id: Set(client_id.clone()),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            sealed: Set(key.seal(value, &context(secret.id, &client_id))?),
            created_at: Set(to_micros(secret.created_at)),
            expires_at: Set(secret.expires_at.map(to_micros)),
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    // First: of two at once, the other counts what this one adds.
                    bump(txn).await?;
                    if find(txn, &client_id).await?.is_none() {
                        return Ok(None);
                    }
                    let of_client = Column::ClientId.eq(&client_id);
                    let there = Entity::find().filter(of_client.clone()).count(txn).await?;
                    match arrival {
                        Arrival::First if there > 0 => return Err(Error::WebhookSecretExists),
                        Arrival::Another { .. } if there == 0 => {
                            return Err(Error::NoWebhookSecret);
                        }
                        _ => {}
                    }
                    Entity::delete_many()
                        .filter(of_client.clone())
                        .filter(Column::ExpiresAt.lte(to_micros(secret.created_at)))
                        .exec(txn)
                        .await?;
                    let live = Entity::find().filter(of_client.clone()).count(txn).await?;
                    if live >= MOST {
                        return Err(Error::TooManySecrets);
                    }
                    if let Arrival::Another {
                        others_expire_at: Some(end),
                    } = arrival
                    {
                        let end = to_micros(end);
                        // One that ends before stays with that.
                        Entity::update_many()
                            .col_expr(Column::ExpiresAt, Expr::value(end))
                            .filter(of_client)
                            .filter(Column::ExpiresAt.is_null().or(Column::ExpiresAt.gt(end)))
                            .exec(txn)
                            .await?;
                    }
                    Entity::insert(row).exec_without_returning(txn).await?;
                    tell(txn, &client_id, event).await
                }
                .boxed()
            })
            .await
    }

    /// Removes one, or all; what is not there is removed already.
    pub(crate) async fn remove_webhook_secrets(
        &self,
        client_id: String,
        secret: Option<Uuid>,
        event: impl FnOnce(&Client) -> Encoded + Send + 'static,
    ) -> Result<Option<Client>, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    bump(txn).await?;
                    let mut removal = Entity::delete_many().filter(Column::ClientId.eq(&client_id));
                    if let Some(secret) = secret {
                        removal = removal.filter(Column::Id.eq(secret));
                    }
                    removal.exec(txn).await?;
                    tell(txn, &client_id, event).await
                }
                .boxed()
            })
            .await
    }
}

/// What a value is bound to: another client's would not open in its place.
fn context(id: Uuid, client_id: &str) -> Vec<u8> {
    let mut context = b"webhook secret\0".to_vec();
    context.extend_from_slice(id.as_bytes());
    context.extend_from_slice(client_id.as_bytes());
    context
}
