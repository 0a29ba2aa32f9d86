//! Acts of a service that tells nobody by itself, and how far they were taken.

#[cfg(test)]
mod tests;

use audit_log::Entry;
use futures::FutureExt;
use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};
use uuid::Uuid;

use super::{Store, insert};
use crate::{error::Error, store::entity::audit_source};

impl Store {
    /// The last act that was taken of a service; none at first.
    pub(crate) async fn last_act(&self, service: &str) -> Result<Option<Uuid>, Error> {
        let row = audit_source::Entity::find_by_id(service)
            .one(&self.db.read)
            .await?;
        Ok(row.map(|row| row.last))
    }

    /// Queues entries of a service's acts and remembers, in the same commit, the
    /// last act. An entry that is there already is not told again: a replica, or
    /// this store before its service was restored, has taken the act.
    pub(crate) async fn take_acts(
        &self,
        service: &str,
        entries: Vec<Entry>,
        last: Uuid,
    ) -> Result<(), Error> {
        let entries = entries
            .into_iter()
            .map(|entry| self.new_entry(entry, None))
            .collect::<Result<Vec<_>, _>>()?;
        let row = audit_source::ActiveModel {
            service: Set(service.to_owned()),
            last: Set(last),
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use audit_source::{Column, Entity};
                    insert(txn, entries).await?;
                    Entity::insert(row)
                        .on_conflict(
                            OnConflict::column(Column::Service)
                                .update_column(Column::Last)
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
}
