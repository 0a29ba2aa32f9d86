//! Numbers: given in batches, each in one commit with the tree's hashes and
//! the checkpoint that signs them.

use std::collections::BTreeMap;

use audit_log::{TileId, Tiles};
use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    db::is_postgres,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Statement, Value,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{Store, to_i64, to_u64};
use crate::{
    error::Error,
    store::entity::{audit_checkpoint, audit_entry, audit_tile},
};

const MICROS_OF_AN_HOUR: i64 = 3_600_000_000;

/// Entries that wait for a number.
#[derive(Default)]
pub(crate) struct Queue {
    /// By id and payload, in the order in which they get their numbers.
    pub(crate) entries: Vec<(Uuid, Vec<u8>)>,
    /// What no service of ours put there.
    pub(crate) forged: Vec<Uuid>,
}

/// Entries with their numbers, and the tree that has them.
pub(crate) struct Batch {
    /// Of the first entry.
    pub(crate) first: u64,
    pub(crate) entries: Vec<Uuid>,
    /// Rows of hashes that are new or longer.
    pub(crate) tiles: Vec<(TileId, Vec<u8>)>,
    pub(crate) checkpoint: Checkpoint,
}

#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) size: u64,
    pub(crate) at: Timestamp,
    /// The signed note.
    pub(crate) note: String,
}

impl TryFrom<audit_checkpoint::Model> for Checkpoint {
    type Error = Error;

    fn try_from(row: audit_checkpoint::Model) -> Result<Self, Error> {
        Ok(Self {
            size: to_u64(row.size)?,
            at: from_micros(row.at),
            note: row.note,
        })
    }
}

impl Store {
    pub(crate) async fn has_queued_entries(&self) -> Result<bool, Error> {
        let row: Option<Uuid> = audit_entry::Entity::find()
            .select_only()
            .column(audit_entry::Column::Id)
            .filter(audit_entry::Column::Number.is_null())
            .into_tuple()
            .one(&self.db.read)
            .await?;
        Ok(row.is_some())
    }

    pub(crate) async fn queued_entries(&self, limit: u64) -> Result<Queue, Error> {
        let rows = audit_entry::Entity::find()
            .filter(audit_entry::Column::Number.is_null())
            .order_by_asc(audit_entry::Column::Id)
            .limit(limit)
            .all(&self.db.read)
            .await?;
        let mut queue = Queue::default();
        for row in rows {
            if self.is_ours(&row) {
                queue.entries.push((row.id, row.payload));
            } else {
                queue.forged.push(row.id);
            }
        }
        Ok(queue)
    }

    pub(crate) async fn newest_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        let row = audit_checkpoint::Entity::find()
            .order_by_desc(audit_checkpoint::Column::Size)
            .one(&self.db.read)
            .await?;
        row.map(Checkpoint::try_from).transpose()
    }

    /// The rows of hashes named, as far as they are there.
    pub(crate) async fn tiles(
        &self,
        ids: impl IntoIterator<Item = TileId>,
    ) -> Result<Tiles, Error> {
        let mut by_level: BTreeMap<u8, Vec<i64>> = BTreeMap::new();
        for id in ids {
            by_level
                .entry(id.level)
                .or_default()
                .push(to_i64(id.index)?);
        }
        if by_level.is_empty() {
            return Ok(Tiles::default());
        }
        let mut wanted = Condition::any();
        for (level, tiles) in by_level {
            let of_level = Condition::all()
                .add(audit_tile::Column::Level.eq(i16::from(level)))
                .add(audit_tile::Column::Tile.is_in(tiles));
            wanted = wanted.add(of_level);
        }
        let rows = audit_tile::Entity::find()
            .filter(wanted)
            .all(&self.db.read)
            .await?;
        rows.into_iter().map(tile).collect()
    }

    /// All of the batch or, where another has been faster, none of it.
    pub(crate) async fn commit_batch(&self, batch: Batch) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| commit(txn, batch).boxed())
            .await
    }

    /// Takes what no service of ours wrote out of the queue, and keeps it.
    pub(crate) async fn set_aside(&self, forged: Vec<Uuid>) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use audit_entry::{Column, Entity};
                    let lowest = Entity::find()
                        .filter(Column::Number.lt(0))
                        .order_by_asc(Column::Number)
                        .one(txn)
                        .await?;
                    let lowest = lowest.and_then(|row| row.number).unwrap_or(0);
                    for (below, id) in (1..).zip(forged) {
                        Entity::update_many()
                            .col_expr(Column::Number, Expr::value(lowest - below))
                            .filter(Column::Id.eq(id))
                            .filter(Column::Number.is_null())
                            .exec(txn)
                            .await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

pub(super) fn tile(row: audit_tile::Model) -> Result<(TileId, Vec<u8>), Error> {
    let level = u8::try_from(row.level).map_err(|_| Error::Corrupt("audit tile"))?;
    let index = to_u64(row.tile)?;
    Ok((TileId { level, index }, row.hashes))
}

async fn commit(txn: &DatabaseTransaction, batch: Batch) -> Result<(), Error> {
    let count = batch.entries.len() as u64;
    if set_numbers(txn, to_i64(batch.first)?, batch.entries).await? != count {
        return Err(Error::Overtaken);
    }
    let mut rows = Vec::with_capacity(batch.tiles.len());
    for (id, hashes) in batch.tiles {
        rows.push(audit_tile::ActiveModel {
            level: Set(i16::from(id.level)),
            tile: Set(to_i64(id.index)?),
            hashes: Set(hashes),
        });
    }
    audit_tile::Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([audit_tile::Column::Level, audit_tile::Column::Tile])
                .update_column(audit_tile::Column::Hashes)
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    add_checkpoint(txn, batch.checkpoint).await
}

/// One statement for all of them; how many there were. That a number is given
/// twice, the index over them forbids.
async fn set_numbers(
    txn: &DatabaseTransaction,
    first: i64,
    entries: Vec<Uuid>,
) -> Result<u64, DbErr> {
    let numbered = is_postgres(txn);
    let rows: Vec<String> = (0..entries.len())
        .map(|at| {
            if numbered {
                format!("(${}, ${})", 2 * at + 1, 2 * at + 2)
            } else {
                // SQLite looks each named parameter up among all of them.
                "(?, ?)".to_owned()
            }
        })
        .collect();
    let sql = format!(
        "UPDATE audit_entries SET number = numbered.column2 FROM (VALUES {}) AS numbered \
         WHERE audit_entries.id = numbered.column1 AND audit_entries.number IS NULL",
        rows.join(", ")
    );
    let values = (first..)
        .zip(entries)
        .flat_map(|(number, id)| [Value::from(id), Value::from(number)]);
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    Ok(txn.execute_raw(statement).await?.rows_affected())
}

async fn add_checkpoint(txn: &DatabaseTransaction, checkpoint: Checkpoint) -> Result<(), Error> {
    use audit_checkpoint::{ActiveModel, Column, Entity};
    let at = to_micros(checkpoint.at);
    let kept = Entity::find()
        .filter(Column::Kept.eq(true))
        .order_by_desc(Column::Size)
        .one(txn)
        .await?;
    let of_the_hour =
        kept.is_some_and(|kept| kept.at / MICROS_OF_AN_HOUR == at / MICROS_OF_AN_HOUR);
    Entity::delete_many()
        .filter(Column::Kept.eq(false))
        .exec(txn)
        .await?;
    Entity::insert(ActiveModel {
        size: Set(to_i64(checkpoint.size)?),
        at: Set(at),
        kept: Set(!of_the_hour),
        note: Set(checkpoint.note),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}
