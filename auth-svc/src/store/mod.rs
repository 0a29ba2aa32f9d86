//! What auth-svc keeps: clients, signing keys at rest, revocations, used
//! assertions, and what the audit log has yet to take.

mod client;
#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
mod entity;
pub(crate) mod migration;
mod outbox;
mod revocation;
mod signing_key;

use mesh::{db::Db, keyring::Keyring};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait},
};
pub(crate) use signing_key::StoredKey;

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

    /// Counts every change that verifiers and other replicas must learn of.
    pub(crate) async fn version(&self) -> Result<i64, Error> {
        let row = state_version::Entity::find_by_id(STATE)
            .one(&self.db.read)
            .await?;
        Ok(row.map_or(0, |row| row.version))
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
