//! Clients, their secrets' hashes and the signing key at rest.

#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
mod entity;
pub(crate) mod migration;

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    db::{Db, is_unique_violation},
    keyring::{Keyring, WrappedKey},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use self::entity::{client, client_secret, signing_key, state_version};
use crate::{
    app::SigningKey,
    domain::{
        client::Client,
        scope::{Permission, Scope},
    },
    error::Error,
};

/// The one row of `state_version`.
const STATE: i32 = 1;

#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
    keyring: Keyring,
}

impl Store {
    pub(crate) fn new(db: Db, keyring: Keyring) -> Self {
        Self { db, keyring }
    }

    pub(crate) async fn insert_client(&self, client: Client, hash: Vec<u8>) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let created_at = to_micros(client.created_at);
                    client::Entity::insert(client::ActiveModel {
                        client_id: Set(client.id.clone()),
                        partner_id: Set(client.partner),
                        name: Set(client.name),
                        sites: Set(join(client.sites.iter())),
                        scopes: Set(join(client.scopes.iter().map(|s| s.as_str()))),
                        permissions: Set(join(client.permissions.iter().map(|p| p.as_str()))),
                        disabled: Set(client.disabled),
                        created_at: Set(created_at),
                    })
                    .exec_without_returning(txn)
                    .await?;
                    client_secret::Entity::insert(client_secret::ActiveModel {
                        id: Set(Uuid::now_v7()),
                        client_id: Set(client.id),
                        hash: Set(hash),
                        created_at: Set(created_at),
                    })
                    .exec_without_returning(txn)
                    .await?;
                    bump(txn).await
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn client_with_secrets(
        &self,
        client_id: &str,
    ) -> Result<Option<(Client, Vec<Vec<u8>>)>, Error> {
        let Some(row) = client::Entity::find_by_id(client_id)
            .one(&self.db.read)
            .await?
        else {
            return Ok(None);
        };
        let hashes = client_secret::Entity::find()
            .filter(client_secret::Column::ClientId.eq(client_id))
            .all(&self.db.read)
            .await?
            .into_iter()
            .map(|secret| secret.hash)
            .collect();
        Ok(Some((row.into(), hashes)))
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
        Ok(rows.into_iter().map(Client::from).collect())
    }

    pub(crate) async fn set_client_state(
        &self,
        client_id: String,
        disabled: bool,
    ) -> Result<Option<Client>, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    client::Entity::update_many()
                        .col_expr(client::Column::Disabled, Expr::value(disabled))
                        .filter(client::Column::ClientId.eq(&client_id))
                        .exec(txn)
                        .await?;
                    bump(txn).await?;
                    let row = client::Entity::find_by_id(client_id).one(txn).await?;
                    Ok(row.map(Client::from))
                }
                .boxed()
            })
            .await
    }

    /// Counts every change that verifiers must learn of.
    pub(crate) async fn version(&self) -> Result<i64, Error> {
        let row = state_version::Entity::find_by_id(STATE)
            .one(&self.db.read)
            .await?;
        Ok(row.map_or(0, |row| row.version))
    }

    /// The signing key, made at first start; replicas that start together
    /// agree on the row that was written first.
    pub(crate) async fn signing_key(&self, now: Timestamp) -> Result<SigningKey, Error> {
        if let Some(key) = self.load_signing_key().await? {
            return Ok(key);
        }
        let pkcs8 = SigningKey::generate()?;
        let kid = SigningKey::from_pkcs8(&pkcs8)?.kid().to_owned();
        let (key, wrapped) = self.keyring.new_data_key(kid.as_bytes())?;
        let sealed = key.seal(&pkcs8, kid.as_bytes())?;
        let inserted = signing_key::Entity::insert(signing_key::ActiveModel {
            generation: Set(1),
            kid: Set(kid),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            sealed: Set(sealed),
            created_at: Set(to_micros(now)),
        })
        .exec_without_returning(&self.db.read)
        .await;
        match inserted {
            Err(error) if !is_unique_violation(&error) => return Err(error.into()),
            _ => {}
        }
        self.load_signing_key().await?.ok_or(Error::Signing)
    }

    async fn load_signing_key(&self) -> Result<Option<SigningKey>, Error> {
        let row = signing_key::Entity::find()
            .order_by_desc(signing_key::Column::Generation)
            .one(&self.db.read)
            .await?;
        row.map(|row| {
            let wrapped = WrappedKey {
                epoch: row.epoch,
                sealed: row.wrapped_key,
            };
            let key = self.keyring.unwrap(&wrapped, row.kid.as_bytes())?;
            SigningKey::from_pkcs8(&key.open(&row.sealed, row.kid.as_bytes())?)
        })
        .transpose()
    }
}

async fn bump(txn: &impl ConnectionTrait) -> Result<(), Error> {
    state_version::Entity::update_many()
        .col_expr(
            state_version::Column::Version,
            Expr::col(state_version::Column::Version).add(1),
        )
        .filter(state_version::Column::Id.eq(STATE))
        .exec(txn)
        .await?;
    Ok(())
}

impl From<client::Model> for Client {
    fn from(row: client::Model) -> Self {
        Self {
            id: row.client_id,
            partner: row.partner_id,
            name: row.name,
            sites: split(&row.sites, |id| Uuid::try_parse(id).ok()),
            scopes: split(&row.scopes, Scope::parse),
            permissions: split(&row.permissions, Permission::parse),
            disabled: row.disabled,
            created_at: from_micros(row.created_at),
        }
    }
}

fn join(values: impl Iterator<Item = impl ToString>) -> String {
    values.map(|v| v.to_string()).collect::<Vec<_>>().join(" ")
}

fn split<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    text.split(' ').filter_map(parse).collect()
}
