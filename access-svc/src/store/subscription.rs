use audit_log::Entry;
use futures::FutureExt;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::OnConflict,
};
use uuid::Uuid;

use super::{Page, Store, entity, log, resident::check_present};
use crate::{
    domain::{decision::Subscription, device::DeviceKind},
    error::Error,
};

#[derive(Clone, Debug)]
pub(crate) struct StoredSubscription {
    pub(crate) resident: Uuid,
    pub(crate) site: Uuid,
    pub(crate) kind: DeviceKind,
    pub(crate) paid: Subscription,
}

impl From<entity::subscription::Model> for StoredSubscription {
    fn from(row: entity::subscription::Model) -> Self {
        Self {
            resident: row.resident_id,
            site: row.site_id,
            kind: DeviceKind::from_code(row.kind),
            paid: Subscription {
                paid_until: from_micros(row.paid_until),
                grace_days: u32::try_from(row.grace_days).unwrap_or(0),
            },
        }
    }
}

impl Store {
    pub(crate) async fn put_subscription(
        &self,
        put: StoredSubscription,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        use entity::subscription::Column;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    check_present(txn, put.resident).await?;
                    entity::subscription::Entity::insert(entity::subscription::ActiveModel {
                        resident_id: Set(put.resident),
                        site_id: Set(put.site),
                        kind: Set(put.kind.code()),
                        paid_until: Set(to_micros(put.paid.paid_until)),
                        grace_days: Set(i32::try_from(put.paid.grace_days).unwrap_or(i32::MAX)),
                    })
                    .on_conflict(
                        OnConflict::columns([Column::ResidentId, Column::SiteId, Column::Kind])
                            .update_columns([Column::PaidUntil, Column::GraceDays])
                            .to_owned(),
                    )
                    .exec_without_returning(txn)
                    .await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn subscription(
        &self,
        resident: Uuid,
        site: Uuid,
        kind: DeviceKind,
    ) -> Result<Option<Subscription>, Error> {
        let row = entity::subscription::Entity::find_by_id((resident, site, kind.code()))
            .one(&self.db.read)
            .await?;
        Ok(row.map(|row| StoredSubscription::from(row).paid))
    }

    /// By resident, after the resident given.
    pub(crate) async fn list_subscriptions(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<StoredSubscription>, Error> {
        use entity::subscription::Column;
        let mut query = entity::subscription::Entity::find()
            .order_by_asc(Column::ResidentId)
            .order_by_asc(Column::SiteId)
            .order_by_asc(Column::Kind);
        if let Some(resident) = resident {
            query = query.filter(Column::ResidentId.eq(resident));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::ResidentId.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(StoredSubscription::from).collect())
    }
}
