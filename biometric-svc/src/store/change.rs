//! The feed of changes. A change's number is taken while its transaction holds
//! a lock, so that numbers become visible in their order and none is skipped.

use futures::FutureExt;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::OnConflict,
};
use uuid::Uuid;

use super::{
    Store,
    entity::{change, replica},
};
use crate::error::Error;

/// Of PostgreSQL's advisory locks of this database.
const LOCK: i64 = 0x6368_616e;
/// Changes read at once.
const MOST: u64 = 1_000;

/// A subject that is not what it was.
pub(crate) struct Change {
    pub(crate) number: i64,
    pub(crate) subject: Uuid,
    /// Whether this process made it, and knows already.
    pub(crate) own: bool,
}

/// Another process on the same database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) id: Uuid,
    /// The last change that it has taken in.
    pub(crate) applied: i64,
    pub(crate) beat: i64,
}

/// Until the transaction ends no other replica enrols, moves or erases. First of all, so that what
/// is looked at stays and nobody waits for somebody who waits.
pub(super) async fn hold_changes(txn: &impl ConnectionTrait) -> Result<(), Error> {
    if mesh::db::is_postgres(txn) {
        txn.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
            .await?;
    }
    Ok(())
}

impl Store {
    /// Whether other processes may be on the same database.
    pub(crate) fn is_shared(&self) -> bool {
        mesh::db::is_postgres(&self.db.read)
    }

    pub(super) async fn record_change(
        &self,
        txn: &impl ConnectionTrait,
        subject: Uuid,
        at: i64,
    ) -> Result<i64, Error> {
        hold_changes(txn).await?;
        let inserted = change::Entity::insert(change::ActiveModel {
            seq: NotSet,
            subject_id: Set(subject),
            replica: Set(self.replica),
            at: Set(at),
        })
        .exec(txn)
        .await?;
        Ok(inserted.last_insert_id)
    }

    pub(crate) async fn last_change(&self) -> Result<i64, Error> {
        let last = change::Entity::find()
            .order_by_desc(change::Column::Seq)
            .one(&self.db.read)
            .await?;
        Ok(last.map_or(0, |row| row.seq))
    }

    /// The oldest first.
    pub(crate) async fn changes_after(&self, number: i64) -> Result<Vec<Change>, Error> {
        let rows = change::Entity::find()
            .filter(change::Column::Seq.gt(number))
            .order_by_asc(change::Column::Seq)
            .limit(MOST)
            .all(&self.db.read)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| Change {
                number: row.seq,
                subject: row.subject_id,
                own: row.replica == self.replica,
            })
            .collect())
    }

    /// Whether changes after that number were forgotten already.
    pub(crate) async fn has_forgotten_after(&self, number: i64) -> Result<bool, Error> {
        let oldest = change::Entity::find()
            .order_by_asc(change::Column::Seq)
            .one(&self.db.read)
            .await?;
        Ok(oldest.is_some_and(|row| row.seq > number + 1))
    }

    /// Forgets changes from before a time, but never the last one: its number
    /// tells how far the feed has come.
    pub(crate) async fn forget_changes(&self, before: i64) -> Result<(), Error> {
        let last = self.last_change().await?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    change::Entity::delete_many()
                        .filter(change::Column::At.lt(before))
                        .filter(change::Column::Seq.lt(last))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn tell_applied(&self, applied: i64, beat: i64) -> Result<(), Error> {
        let row = replica::ActiveModel {
            id: Set(self.replica),
            applied: Set(applied),
            beat: Set(beat),
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    replica::Entity::insert(row)
                        .on_conflict(
                            OnConflict::column(replica::Column::Id)
                                .update_columns([replica::Column::Applied, replica::Column::Beat])
                                .to_owned(),
                        )
                        .exec_without_returning(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn other_replicas(&self) -> Result<Vec<Replica>, Error> {
        let rows = replica::Entity::find()
            .filter(replica::Column::Id.ne(self.replica))
            .all(&self.db.read)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| Replica {
                id: row.id,
                applied: row.applied,
                beat: row.beat,
            })
            .collect())
    }

    /// Itself, when it ends; another, when it is found dead.
    pub(crate) async fn forget_replica(&self, id: Option<Uuid>) -> Result<(), Error> {
        let id = id.unwrap_or(self.replica);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    replica::Entity::delete_by_id(id).exec(txn).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}
