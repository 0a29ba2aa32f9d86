//! The end of guests: moved, brought forward, come.

use audit_log::Entry;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use crate::{
    domain::etag::{IfMatch, Version},
    error::{Error, Noun},
    store::{
        Store, entity,
        entity::resident::{Column, Entity, Model},
        log,
        resident::there,
    },
};

impl Store {
    /// With the rights and the vehicle that end with the guest; what has ended before stays ended.
    pub(crate) async fn extend_guest(
        &self,
        id: Uuid,
        if_match: IfMatch,
        ends_at: Timestamp,
        now: Timestamp,
        telling: Entry,
    ) -> Result<(), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let guest = held_guest(txn, id, now).await?;
                    if_match.check(Version(guest.version))?;
                    let new = to_micros(ends_at);
                    let old = Ending::At(guest.guest_until.unwrap_or(new));
                    set_end(txn, id, new).await?;
                    move_rights(txn, id, new, old).await?;
                    tell(&store, txn, &guest, telling).await
                }
                .boxed()
            })
            .await
    }

    /// Ends all rights now. False where nobody of that id is a guest any more.
    pub(crate) async fn end_guest(
        &self,
        id: Uuid,
        now: Timestamp,
        telling: Entry,
    ) -> Result<bool, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let guest = match held_guest(txn, id, now).await {
                        Ok(guest) => guest,
                        Err(Error::NotFound(_)) => return Ok(false),
                        Err(error) => return Err(error),
                    };
                    let end = to_micros(now);
                    set_end(txn, id, end).await?;
                    move_rights(txn, id, end, Ending::After(end)).await?;
                    tell(&store, txn, &guest, telling).await?;
                    Ok(true)
                }
                .boxed()
            })
            .await
    }

    /// Guests whose end has passed and who are not being erased yet.
    pub(crate) async fn ended_guests(
        &self,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<Uuid>, Error> {
        Ok(there()
            .select_only()
            .column(Column::Id)
            .filter(Column::GuestUntil.lte(to_micros(now)))
            .order_by_asc(Column::GuestUntil)
            .limit(limit)
            .into_tuple()
            .all(&self.db.read)
            .await?)
    }
}

/// The row, held until the transaction ends; one whose end has passed is gone.
async fn held_guest(txn: &DatabaseTransaction, id: Uuid, now: Timestamp) -> Result<Model, Error> {
    let row = there()
        .filter(Column::Id.eq(id))
        .lock_exclusive()
        .one(txn)
        .await?;
    row.filter(|row| row.guest_until.is_some_and(|end| now < from_micros(end)))
        .ok_or(Error::NotFound(Noun::Guest))
}

async fn set_end(txn: &DatabaseTransaction, id: Uuid, end: i64) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::GuestUntil, Expr::value(Some(end)))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// When something ends that is to end otherwise.
#[derive(Clone, Copy)]
enum Ending {
    At(i64),
    /// Or never.
    After(i64),
}

impl Ending {
    fn holds(self, end: Expr) -> Expr {
        match self {
            Self::At(at) => end.eq(at),
            Self::After(at) => end.clone().is_null().or(end.gt(at)),
        }
    }
}

/// Gives grants and holdings another end.
async fn move_rights(
    txn: &DatabaseTransaction,
    id: Uuid,
    end: i64,
    old: Ending,
) -> Result<(), Error> {
    use entity::{grant, holding};
    let grants = grant::Entity::update_many()
        .col_expr(grant::Column::EndsAt, Expr::value(Some(end)))
        .col_expr(
            grant::Column::Version,
            Expr::col(grant::Column::Version).add(1),
        )
        .filter(grant::Column::ResidentId.eq(id))
        .filter(old.holds(Expr::col(grant::Column::EndsAt)));
    let holdings = holding::Entity::update_many()
        .col_expr(holding::Column::HeldTo, Expr::value(Some(end)))
        .col_expr(
            holding::Column::Version,
            Expr::col(holding::Column::Version).add(1),
        )
        .filter(holding::Column::ResidentId.eq(id))
        .filter(old.holds(Expr::col(holding::Column::HeldTo)));
    grants.exec(txn).await?;
    holdings.exec(txn).await?;
    Ok(())
}

async fn tell(
    store: &Store,
    txn: &DatabaseTransaction,
    guest: &Model,
    telling: Entry,
) -> Result<(), Error> {
    let telling = Entry {
        who: Some(guest.audit_pseudonym),
        ..telling
    };
    log::insert(txn, vec![store.new_entry(telling, None)?]).await?;
    Ok(())
}
