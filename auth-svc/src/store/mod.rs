//! What auth-svc keeps: clients, signing keys at rest, revocations, used
//! assertions, and what the audit log has yet to take.

mod client;
mod client_row;
mod custody;
#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
mod entity;
pub(crate) mod migration;
mod outbox;
mod revocation;
mod signing_key;
mod webhook_secret;

pub(crate) use custody::Records;
use mesh::{db::Db, keyring::Keyring};
pub(crate) use outbox::Encoded;
pub(crate) use revocation::{Revocation, RevokedToken};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait},
};
pub(crate) use signing_key::StoredKey;
pub(crate) use webhook_secret::Arrival;

use self::entity::state_version;
use crate::error::Error;

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

    pub(crate) async fn versions(&self) -> Result<Versions, Error> {
        Ok(read_versions(&self.db.read).await?.unwrap_or_default())
    }
}

/// Counts of what verifiers and other replicas must learn of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    /// Every change of clients and signing keys.
    pub(crate) state: i64,
    /// The number of the last revocation.
    pub(crate) revocations: i64,
}

async fn read_versions(db: &impl ConnectionTrait) -> Result<Option<Versions>, Error> {
    let row = state_version::Entity::find_by_id(STATE).one(db).await?;
    Ok(row.map(|row| Versions {
        state: row.version,
        revocations: row.revocations,
    }))
}

async fn bump(txn: &impl ConnectionTrait) -> Result<(), Error> {
    count_one(txn, state_version::Column::Version).await
}

async fn count_one(txn: &impl ConnectionTrait, column: state_version::Column) -> Result<(), Error> {
    state_version::Entity::update_many()
        .col_expr(column, Expr::col(column).add(1))
        .filter(state_version::Column::Id.eq(STATE))
        .exec(txn)
        .await?;
    Ok(())
}
