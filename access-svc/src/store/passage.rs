//! Lockdown and free passage, of sites and of devices.

use futures::FutureExt;
use sea_orm::{ColumnTrait, DatabaseTransaction, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use super::{
    AuthEvent, Site, Store, audit, entity,
    place::{self, Named},
};
use crate::{
    domain::{device::Device, passage::Order},
    error::Error,
};

/// What is ordered about.
trait Ordered: Named {
    const LOCKDOWN: Self::Column;
    const FREE_PASSAGE: Self::Column;
}

impl Ordered for entity::site::Entity {
    const LOCKDOWN: Self::Column = entity::site::Column::Lockdown;
    const FREE_PASSAGE: Self::Column = entity::site::Column::FreePassage;
}

impl Ordered for entity::device::Entity {
    const LOCKDOWN: Self::Column = entity::device::Column::Lockdown;
    const FREE_PASSAGE: Self::Column = entity::device::Column::FreePassage;
}

impl Store {
    /// Stores the event where the order changes anything.
    pub(crate) async fn order_site(
        &self,
        id: Uuid,
        order: Order,
        on: bool,
        event: AuthEvent,
    ) -> Result<Site, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let row =
                        obey::<entity::site::Entity>(&store, txn, id, order, on, event).await?;
                    Ok(Site::from(row))
                }
                .boxed()
            })
            .await
    }

    /// Stores the event where the order changes anything.
    pub(crate) async fn order_device(
        &self,
        uid: Uuid,
        order: Order,
        on: bool,
        event: AuthEvent,
    ) -> Result<Device, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let row =
                        obey::<entity::device::Entity>(&store, txn, uid, order, on, event).await?;
                    Ok(Device::from(row))
                }
                .boxed()
            })
            .await
    }
}

async fn obey<E: Ordered>(
    store: &Store,
    txn: &DatabaseTransaction,
    id: Uuid,
    order: Order,
    on: bool,
    event: AuthEvent,
) -> Result<E::Model, Error> {
    let column = match order {
        Order::Lockdown => E::LOCKDOWN,
        Order::FreePassage => E::FREE_PASSAGE,
    };
    let changed = E::update_many()
        .col_expr(column, Expr::value(on))
        .col_expr(E::VERSION, place::next_version::<E>())
        .filter(ColumnTrait::eq(&E::ID, id))
        .filter(ColumnTrait::ne(&column, on))
        .exec(txn)
        .await?;
    if changed.rows_affected > 0 {
        audit::insert(store, txn, vec![event]).await?;
    }
    place::there::<E>(txn, id).await
}
