//! Clients and their secrets' hashes.

use std::collections::HashMap;

use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::to_micros;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use super::{
    Store, bump,
    client_row::{read, settings_row},
    entity::{client, client_secret, webhook_secret},
    outbox::{Encoded, insert_events},
};
use crate::{
    domain::{
        client::{Client, Secret, Settings},
        webhook_secret::WebhookSecret,
    },
    error::Error,
};

/// Secrets of a client that live at once.
const MOST_SECRETS: u64 = 2;

/// Each change stands or falls with the event that tells of it.
impl Store {
    pub(crate) async fn insert_client(&self, client: Client, event: Encoded) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let mut row = settings_row(&client.settings);
                    row.client_id = Set(client.id.clone());
                    row.partner_id = Set(client.partner);
                    row.disabled = Set(client.disabled);
                    row.created_at = Set(to_micros(client.created_at));
                    client::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await?;
                    for secret in client.secrets {
                        insert_secret(txn, &client.id, secret).await?;
                    }
                    insert_events(txn, vec![event]).await?;
                    bump(txn).await
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn client(&self, id: &str) -> Result<Option<Client>, Error> {
        find(&self.db.read, id).await
    }

    /// By client id, after the one given.
    pub(crate) async fn list_clients(
        &self,
        after: Option<String>,
        limit: u64,
    ) -> Result<Vec<Client>, Error> {
        let mut query = client::Entity::find().order_by_asc(client::Column::ClientId);
        if let Some(after) = after {
            query = query.filter(client::Column::ClientId.gt(after));
        }
        // SQLite's integers are signed.
        let rows = query
            .limit(std::cmp::min(limit, i64::MAX as u64))
            .all(&self.db.read)
            .await?;
        let mut secrets = client_secret::Entity::find();
        let mut webhook_secrets = webhook_secret::Entity::find();
        // A whole list needs no names; a page's fit a statement.
        if limit <= 1_001 {
            let ids: Vec<String> = rows.iter().map(|row| row.client_id.clone()).collect();
            secrets = secrets.filter(client_secret::Column::ClientId.is_in(ids.clone()));
            webhook_secrets = webhook_secrets.filter(webhook_secret::Column::ClientId.is_in(ids));
        }
        let mut by_client: HashMap<String, Vec<Secret>> = HashMap::new();
        for row in secrets
            .order_by_asc(client_secret::Column::Id)
            .all(&self.db.read)
            .await?
        {
            let secrets = by_client.entry(row.client_id.clone()).or_default();
            secrets.push(row.into());
        }
        let mut signing: HashMap<String, Vec<WebhookSecret>> = HashMap::new();
        for row in webhook_secrets
            .order_by_asc(webhook_secret::Column::Id)
            .all(&self.db.read)
            .await?
        {
            let secrets = signing.entry(row.client_id.clone()).or_default();
            secrets.push((&row).into());
        }
        rows.into_iter()
            .map(|row| {
                let secrets = by_client.remove(&row.client_id).unwrap_or_default();
                let signing = signing.remove(&row.client_id).unwrap_or_default();
                read(row, secrets, signing)
            })
            .collect()
    }

    /// Puts new settings in place of the old; the client as it is then.
    pub(crate) async fn update_client(
        &self,
        id: String,
        change: impl FnOnce(&mut Settings) -> Result<(), Error> + Send + 'static,
        event: impl FnOnce(&Client) -> Encoded + Send + 'static,
    ) -> Result<Option<Client>, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let Some(mut client) = find(txn, &id).await? else {
                        return Ok(None);
                    };
                    change(&mut client.settings)?;
                    client.settings.validate()?;
                    let mut row = settings_row(&client.settings);
                    row.client_id = Set(id);
                    client::Entity::update(row).exec(txn).await?;
                    insert_events(txn, vec![event(&client)]).await?;
                    bump(txn).await?;
                    Ok(Some(client))
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn set_client_state(
        &self,
        id: String,
        disabled: bool,
        event: impl FnOnce(&Client) -> Encoded + Send + 'static,
    ) -> Result<Option<Client>, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    client::Entity::update_many()
                        .col_expr(client::Column::Disabled, Expr::value(disabled))
                        .filter(client::Column::ClientId.eq(&id))
                        .exec(txn)
                        .await?;
                    bump(txn).await?;
                    tell(txn, &id, event).await
                }
                .boxed()
            })
            .await
    }

    /// One that is not there is deleted already.
    pub(crate) async fn delete_client(
        &self,
        id: String,
        event: impl FnOnce(&Client) -> Encoded + Send + 'static,
    ) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if tell(txn, &id, event).await?.is_none() {
                        return Ok(());
                    }
                    client_secret::Entity::delete_many()
                        .filter(client_secret::Column::ClientId.eq(&id))
                        .exec(txn)
                        .await?;
                    webhook_secret::Entity::delete_many()
                        .filter(webhook_secret::Column::ClientId.eq(&id))
                        .exec(txn)
                        .await?;
                    client::Entity::delete_by_id(id).exec(txn).await?;
                    bump(txn).await
                }
                .boxed()
            })
            .await
    }

    /// Adds a secret; those that have ended make room for it.
    pub(crate) async fn add_secret(
        &self,
        id: String,
        secret: Secret,
        others_expire_at: Option<Timestamp>,
        event: impl FnOnce(&Client) -> Encoded + Send + 'static,
    ) -> Result<Option<Client>, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if find(txn, &id).await?.is_none() {
                        return Ok(None);
                    }
                    let of_client = client_secret::Column::ClientId.eq(&id);
                    client_secret::Entity::delete_many()
                        .filter(of_client.clone())
                        .filter(client_secret::Column::ExpiresAt.lte(to_micros(secret.created_at)))
                        .exec(txn)
                        .await?;
                    let live = client_secret::Entity::find()
                        .filter(of_client.clone())
                        .count(txn)
                        .await?;
                    if live >= MOST_SECRETS {
                        return Err(Error::TooManySecrets);
                    }
                    if let Some(end) = others_expire_at {
                        let (expires_at, end) = (client_secret::Column::ExpiresAt, to_micros(end));
                        // One that ends before stays with that.
                        client_secret::Entity::update_many()
                            .col_expr(expires_at, Expr::value(end))
                            .filter(of_client)
                            .filter(expires_at.is_null().or(expires_at.gt(end)))
                            .exec(txn)
                            .await?;
                    }
                    insert_secret(txn, &id, secret).await?;
                    bump(txn).await?;
                    tell(txn, &id, event).await
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn delete_secret(
        &self,
        id: String,
        secret: Uuid,
        event: impl FnOnce(&Client) -> Encoded + Send + 'static,
    ) -> Result<Option<Client>, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    client_secret::Entity::delete_many()
                        .filter(client_secret::Column::ClientId.eq(&id))
                        .filter(client_secret::Column::Id.eq(secret))
                        .exec(txn)
                        .await?;
                    bump(txn).await?;
                    tell(txn, &id, event).await
                }
                .boxed()
            })
            .await
    }
}

pub(super) async fn find(db: &impl ConnectionTrait, id: &str) -> Result<Option<Client>, Error> {
    let Some(row) = client::Entity::find_by_id(id).one(db).await? else {
        return Ok(None);
    };
    let secrets = client_secret::Entity::find()
        .filter(client_secret::Column::ClientId.eq(id))
        .order_by_asc(client_secret::Column::Id)
        .all(db)
        .await?;
    let secrets = secrets.into_iter().map(Secret::from).collect();
    let webhook_secrets = webhook_secret::Entity::find()
        .filter(webhook_secret::Column::ClientId.eq(id))
        .order_by_asc(webhook_secret::Column::Id)
        .all(db)
        .await?;
    let webhook_secrets = webhook_secrets.iter().map(WebhookSecret::from).collect();
    read(row, secrets, webhook_secrets).map(Some)
}

/// The client as it is now, told of to the audit.
pub(super) async fn tell(
    txn: &DatabaseTransaction,
    id: &str,
    event: impl FnOnce(&Client) -> Encoded + Send,
) -> Result<Option<Client>, Error> {
    let client = find(txn, id).await?;
    if let Some(event) = client.as_ref().map(event) {
        insert_events(txn, vec![event]).await?;
    }
    Ok(client)
}

async fn insert_secret(
    txn: &DatabaseTransaction,
    client_id: &str,
    secret: Secret,
) -> Result<(), Error> {
    client_secret::Entity::insert(client_secret::ActiveModel {
        id: Set(secret.id),
        client_id: Set(client_id.to_owned()),
        hash: Set(secret.hash),
        created_at: Set(to_micros(secret.created_at)),
        expires_at: Set(secret.expires_at.map(to_micros)),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}
