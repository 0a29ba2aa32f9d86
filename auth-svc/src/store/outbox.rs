//! Audit events that access-svc has yet to take.

use futures::FutureExt;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::{Store, entity::outbox};
use crate::error::Error;

/// An event's id, a UUID of version 7, and the encoded message.
pub(crate) type Encoded = (Uuid, Vec<u8>);

impl Store {
    /// Answers once they are durable.
    pub(crate) async fn add_events(&self, events: Vec<Encoded>) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        self.db
            .writer
            .write(move |txn| insert_events(txn, events).boxed())
            .await
    }

    /// The oldest first.
    pub(crate) async fn events(&self, limit: u64) -> Result<Vec<Encoded>, Error> {
        let rows = outbox::Entity::find()
            .order_by_asc(outbox::Column::Id)
            .limit(limit)
            .all(&self.db.read)
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.payload)).collect())
    }

    pub(crate) async fn drop_events(&self, ids: Vec<Uuid>) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    outbox::Entity::delete_many()
                        .filter(outbox::Column::Id.is_in(ids))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

/// With what they tell of, in the same transaction: neither is there without
/// the other.
pub(super) async fn insert_events(
    txn: &DatabaseTransaction,
    events: Vec<Encoded>,
) -> Result<(), Error> {
    let rows = events.into_iter().map(|(id, payload)| outbox::ActiveModel {
        id: Set(id),
        payload: Set(payload),
    });
    outbox::Entity::insert_many(rows)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}
