//! Numbers by which openings and events are followed. A row is stored without
//! one (0), and an opening that changes gives its own back; numbers are given
//! afterwards, in a transaction that holds the feed's row. So they become
//! visible in their order, whichever replica wrote the row and however long its
//! commit took: who reads on from a number misses nothing.

use futures::FutureExt;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    TransactionTrait, sea_query::Expr,
};
use uuid::Uuid;

use super::{Store, entity};
use crate::{
    domain::{event::Event, opening::Opening},
    error::Error,
};

/// Rows numbered in one transaction.
const MOST: u64 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    Openings,
    Events,
}

/// Whose and of which device; none is all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) partner: Option<Uuid>,
    pub(crate) device_id: Option<String>,
}

/// The numbers to read: above the first, up to the second; the lowest ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) after: i64,
    pub(crate) up_to: i64,
    pub(crate) limit: u64,
}

impl Feed {
    /// The table, and the feed's name.
    fn table(self) -> &'static str {
        match self {
            Self::Openings => "openings",
            Self::Events => "events",
        }
    }
}

impl Store {
    /// Numbers what has no number yet; how much that was.
    pub(crate) async fn number(&self, feed: Feed) -> Result<u64, Error> {
        if !self.has_unnumbered(feed).await? {
            return Ok(0);
        }
        if mesh::db::is_postgres(&self.db.read) {
            // Not among the writer's works, which hold rows of their own: two
            // replicas could wait for each other.
            let txn = self.db.read.begin().await?;
            let numbered = number(&txn, feed).await?;
            txn.commit().await?;
            return Ok(numbered);
        }
        self.db
            .writer
            .write(move |txn| number(txn, feed).boxed())
            .await
    }

    /// Up to which numbers have been given.
    pub(crate) async fn last_number(&self, feed: Feed) -> Result<i64, Error> {
        let row = entity::feed::Entity::find_by_id(feed.table())
            .one(&self.db.read)
            .await?;
        Ok(row.ok_or(Error::Corrupt("feed"))?.last)
    }

    async fn has_unnumbered(&self, feed: Feed) -> Result<bool, Error> {
        let db = &self.db.read;
        let unnumbered: Option<Uuid> = match feed {
            Feed::Openings => {
                use entity::opening::{Column, Entity};
                let rows = Entity::find().select_only().column(Column::Id);
                let rows = rows.filter(Column::Number.eq(0_i64));
                rows.into_tuple().one(db).await?
            }
            Feed::Events => {
                use entity::event::{Column, Entity};
                let rows = Entity::find().select_only().column(Column::Id);
                let rows = rows.filter(Column::Number.eq(0_i64));
                rows.into_tuple().one(db).await?
            }
        };
        Ok(unnumbered.is_some())
    }

    pub(crate) async fn numbered_openings(
        &self,
        span: Span,
        filter: Filter,
    ) -> Result<Vec<(i64, Opening)>, Error> {
        use entity::opening::{Column, Entity};
        let mut query = Entity::find()
            .filter(Column::Number.gt(span.after))
            .filter(Column::Number.lte(span.up_to))
            .order_by_asc(Column::Number);
        if let Some(partner) = filter.partner {
            query = query.filter(Column::PartnerId.eq(partner));
        }
        if let Some(device_id) = filter.device_id {
            query = query.filter(Column::DeviceId.eq(device_id));
        }
        let rows = query.limit(span.limit).all(&self.db.read).await?;
        rows.into_iter()
            .map(|row| Ok((row.number, Opening::try_from(row)?)))
            .collect()
    }

    pub(crate) async fn numbered_events(
        &self,
        span: Span,
        filter: Filter,
    ) -> Result<Vec<(i64, Event)>, Error> {
        use entity::event::{Column, Entity};
        let mut query = Entity::find()
            .filter(Column::Number.gt(span.after))
            .filter(Column::Number.lte(span.up_to))
            .order_by_asc(Column::Number);
        if let Some(partner) = filter.partner {
            query = query.filter(Column::PartnerId.eq(partner));
        }
        if let Some(device_id) = filter.device_id {
            query = query.filter(Column::DeviceId.eq(device_id));
        }
        let rows = query.limit(span.limit).all(&self.db.read).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.number, Event::from(row)))
            .collect())
    }
}

async fn number(txn: &impl ConnectionTrait, feed: Feed) -> Result<u64, Error> {
    use entity::feed::{Column, Entity};
    let row = Entity::find_by_id(feed.table())
        .lock_exclusive()
        .one(txn)
        .await?
        .ok_or(Error::Corrupt("feed"))?;
    let statement = numbering(feed.table(), row.last, mesh::db::is_postgres(txn));
    let numbered = txn.execute_unprepared(&statement).await?.rows_affected();
    if numbered > 0 {
        let given = i64::try_from(numbered).map_err(|_| Error::Corrupt("feed"))?;
        Entity::update_many()
            .col_expr(Column::Last, Expr::value(row.last + given))
            .filter(Column::Name.eq(feed.table()))
            .exec(txn)
            .await?;
    }
    Ok(numbered)
}

fn numbering(table: &str, last: i64, postgres: bool) -> String {
    // What another transaction holds has its turn later: nothing is waited for.
    let lock = if postgres {
        "FOR UPDATE SKIP LOCKED"
    } else {
        ""
    };
    format!(
        "WITH unnumbered AS \
         (SELECT id FROM {table} WHERE number = 0 ORDER BY id LIMIT {MOST} {lock}) \
         UPDATE {table} SET number = numbered.number FROM \
         (SELECT id, {last} + ROW_NUMBER() OVER (ORDER BY id) AS number FROM unnumbered) \
         AS numbered WHERE numbered.id = {table}.id"
    )
}
