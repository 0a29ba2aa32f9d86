//! What was done to this store, for access-svc to ask for. An act's number is
//! taken under the lock of changes, so that numbers become visible in their
//! order; by its id it is known again in a store that was put back.

#[cfg(test)]
mod tests;

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    custody::Act,
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::{NoContext, Uuid};

use super::{Store, change::hold_changes, entity::act};
use crate::error::Error;

/// Acts read at once.
const MOST: u64 = 500;

/// An act as it was stored.
pub(crate) struct StoredAct {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) code: String,
    pub(crate) subject: String,
    pub(crate) actor: String,
    pub(crate) request: Option<String>,
}

impl Store {
    /// Of something that is done already.
    pub(crate) async fn add_act(&self, act: Act) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    hold_changes(txn).await?;
                    insert(txn, act).await
                }
                .boxed()
            })
            .await
    }

    /// Those after that one, the oldest first; all, where the store does not
    /// have it: then an older backup was put back since.
    pub(crate) async fn acts_after(&self, id: Option<Uuid>) -> Result<Vec<StoredAct>, Error> {
        use act::{Column, Entity};
        let db = &self.db.read;
        let last = match id {
            Some(id) => Entity::find().filter(Column::Id.eq(id)).one(db).await?,
            None => None,
        };
        let rows = Entity::find()
            .filter(Column::Number.gt(last.map_or(0, |row| row.number)))
            .order_by_asc(Column::Number)
            .limit(MOST)
            .all(db)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| StoredAct {
                id: row.id,
                at: from_micros(row.at),
                code: row.code,
                subject: row.subject,
                actor: row.actor,
                request: row.request,
            })
            .collect())
    }
}

/// In the transaction of what was done, which holds the lock of changes.
pub(super) async fn insert(txn: &impl ConnectionTrait, act: Act) -> Result<(), Error> {
    act::Entity::insert(act::ActiveModel {
        number: NotSet,
        id: Set(new_id(act.at)),
        at: Set(to_micros(act.at)),
        code: Set(act.code.to_owned()),
        subject: Set(act.subject),
        actor: Set(act.actor),
        request: Set(act.request),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// The audit log goes by the time in it.
fn new_id(at: Timestamp) -> Uuid {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos))
}
