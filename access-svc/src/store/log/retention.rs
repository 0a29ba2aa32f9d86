//! What time destroys: entries, whose hashes stay; keys of strangers' links.

use futures::FutureExt;
use mesh::db::named_key;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{NewEntry, Store, insert, months::PREFIX, to_i64, to_u64};
use crate::{error::Error, store::entity::audit_entry};

impl Store {
    /// Numbers and ids of the entries with the lowest numbers.
    pub(crate) async fn lowest_entries(&self, limit: u64) -> Result<Vec<(u64, Uuid)>, Error> {
        use audit_entry::Column;
        let rows: Vec<(i64, Uuid)> = audit_entry::Entity::find()
            .select_only()
            .columns([Column::Number, Column::Id])
            .filter(Column::Number.gte(0))
            .order_by_asc(Column::Number)
            .limit(limit)
            .into_tuple()
            .all(&self.db.read)
            .await?;
        rows.into_iter()
            .map(|(number, id)| Ok((to_u64(number)?, id)))
            .collect()
    }

    /// Destroys what stands before this number, in one commit with the entry
    /// that tells so.
    pub(crate) async fn destroy_entries(
        &self,
        before: u64,
        telling: NewEntry,
    ) -> Result<(), Error> {
        let before = to_i64(before)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    insert(txn, vec![telling]).await?;
                    audit_entry::Entity::delete_many()
                        .filter(audit_entry::Column::Number.gte(0))
                        .filter(audit_entry::Column::Number.lt(before))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// The months that have a key, such as `2026-11`, in their order.
    pub(crate) async fn months_with_keys(&self) -> Result<Vec<String>, Error> {
        let names = named_key::names(&self.db.read, PREFIX).await?;
        let months = names.iter().filter_map(|name| name.strip_prefix(PREFIX));
        Ok(months.map(str::to_owned).collect())
    }

    /// Destroys the key of a month, in one commit with the entry that tells so.
    pub(crate) async fn destroy_month(&self, month: &str, telling: NewEntry) -> Result<(), Error> {
        let name = format!("{PREFIX}{month}");
        self.db
            .writer
            .write(move |txn| {
                async move {
                    insert(txn, vec![telling]).await?;
                    named_key::destroy(txn, &name).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}
