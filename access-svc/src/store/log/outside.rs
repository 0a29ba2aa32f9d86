//! How far each place outside has followed the log.

use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, OnConflict},
};

use super::{Store, to_i64, to_u64};
use crate::{
    error::Error,
    store::entity::{audit_checkpoint, audit_place},
};

/// What a place outside was last told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) size: u64,
    pub(crate) at: Timestamp,
}

impl Store {
    pub(crate) async fn places(&self) -> Result<Vec<(String, Place)>, Error> {
        let rows = audit_place::Entity::find()
            .order_by_asc(audit_place::Column::Place)
            .all(&self.db.read)
            .await?;
        rows.into_iter()
            .map(|row| {
                let (size, at) = (to_u64(row.size)?, from_micros(row.at));
                Ok((row.place, Place { size, at }))
            })
            .collect()
    }

    pub(crate) async fn set_place(&self, place: &str, told: Place) -> Result<(), Error> {
        let row = audit_place::ActiveModel {
            place: Set(place.to_owned()),
            size: Set(to_i64(told.size)?),
            at: Set(to_micros(told.at)),
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use audit_place::{Column, Entity};
                    Entity::insert(row)
                        .on_conflict(
                            OnConflict::column(Column::Place)
                                .update_columns([Column::Size, Column::At])
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

    /// Puts others' signatures under a checkpoint, while it is there.
    pub(crate) async fn add_signatures(&self, size: u64, lines: String) -> Result<(), Error> {
        let size = to_i64(size)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use audit_checkpoint::{Column, Entity};
                    let Some(row) = Entity::find_by_id(size).one(txn).await? else {
                        return Ok(());
                    };
                    Entity::update_many()
                        .col_expr(Column::Note, Expr::value(row.note + &lines))
                        .filter(Column::Size.eq(size))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}
