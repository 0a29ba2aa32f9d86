use audit_log::{Columns, TileId, Tiles, entry::first_id};
use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Checkpoint, Sealer, Store, sequence::tile, to_i64, to_u64};
use crate::{
    error::Error,
    store::{
        Page,
        entity::{audit_checkpoint, audit_entry, audit_tile},
    },
};

/// An entry that has its number, with what stands beside it.
#[derive(Clone, Debug)]
pub(crate) struct StoredEntry {
    pub(crate) number: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) columns: Columns,
}

impl TryFrom<audit_entry::Model> for StoredEntry {
    type Error = Error;

    fn try_from(row: audit_entry::Model) -> Result<Self, Error> {
        let number = row.number.ok_or(Error::Corrupt("audit number"))?;
        Ok(Self {
            number: to_u64(number)?,
            payload: row.payload,
            sealed: row.sealed,
            columns: Columns {
                id: row.id,
                code: row.code,
                device: row.device_id,
                who: row.audit_pseudonym,
                opening: row.opening_id,
            },
        })
    }
}

/// Which entries are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntryFilter {
    pub(crate) since: Option<Timestamp>,
    /// Exclusive.
    pub(crate) until: Option<Timestamp>,
    pub(crate) device: Option<String>,
    pub(crate) who: Option<Uuid>,
    pub(crate) code: Option<String>,
    pub(crate) opening: Option<Uuid>,
    pub(crate) oldest_first: bool,
}

impl Store {
    /// By number, from this one on.
    pub(crate) async fn entries_from(
        &self,
        number: u64,
        limit: u64,
    ) -> Result<Vec<StoredEntry>, Error> {
        let rows = audit_entry::Entity::find()
            .filter(audit_entry::Column::Number.gte(to_i64(number)?))
            .order_by_asc(audit_entry::Column::Number)
            .limit(limit)
            .all(&self.db.read)
            .await?;
        rows.into_iter().map(StoredEntry::try_from).collect()
    }

    pub(crate) async fn numbered_entries(
        &self,
        numbers: Vec<u64>,
    ) -> Result<Vec<StoredEntry>, Error> {
        let numbers: Vec<i64> = numbers.into_iter().map(to_i64).collect::<Result<_, _>>()?;
        let rows = audit_entry::Entity::find()
            .filter(audit_entry::Column::Number.is_in(numbers))
            .order_by_asc(audit_entry::Column::Number)
            .all(&self.db.read)
            .await?;
        rows.into_iter().map(StoredEntry::try_from).collect()
    }

    /// By time: ids have that of their entries.
    pub(crate) async fn find_entries(
        &self,
        filter: EntryFilter,
        page: Page,
    ) -> Result<Vec<StoredEntry>, Error> {
        use audit_entry::Column;
        let mut query = audit_entry::Entity::find().filter(Column::Number.gte(0));
        if let Some(since) = filter.since {
            query = query.filter(Column::Id.gte(first_id(since)));
        }
        if let Some(until) = filter.until {
            query = query.filter(Column::Id.lt(first_id(until)));
        }
        if let Some(device) = filter.device {
            query = query.filter(Column::DeviceId.eq(device));
        }
        if let Some(who) = filter.who {
            query = query.filter(Column::AuditPseudonym.eq(who));
        }
        if let Some(code) = filter.code {
            query = query.filter(Column::Code.eq(code));
        }
        if let Some(opening) = filter.opening {
            query = query.filter(Column::OpeningId.eq(opening));
        }
        query = match (filter.oldest_first, page.after) {
            (true, Some(after)) => query.filter(Column::Id.gt(after)),
            (false, Some(after)) => query.filter(Column::Id.lt(after)),
            (_, None) => query,
        };
        query = if filter.oldest_first {
            query.order_by_asc(Column::Id)
        } else {
            query.order_by_desc(Column::Id)
        };
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        rows.into_iter().map(StoredEntry::try_from).collect()
    }

    /// What stands in no place of the tree, since no service of ours wrote it.
    pub(crate) async fn forged_entries(&self, limit: u64) -> Result<Vec<Uuid>, Error> {
        let rows = audit_entry::Entity::find()
            .filter(audit_entry::Column::Number.lt(0))
            .order_by_desc(audit_entry::Column::Number)
            .limit(limit)
            .all(&self.db.read)
            .await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Rows of hashes of a level, from this one on, in their order.
    pub(crate) async fn tiles_from(&self, from: TileId, limit: u64) -> Result<Tiles, Error> {
        let rows = audit_tile::Entity::find()
            .filter(audit_tile::Column::Level.eq(i16::from(from.level)))
            .filter(audit_tile::Column::Tile.gte(to_i64(from.index)?))
            .order_by_asc(audit_tile::Column::Tile)
            .limit(limit)
            .all(&self.db.read)
            .await?;
        rows.into_iter().map(tile).collect()
    }

    /// Those that are kept, the oldest first, of trees larger than this.
    pub(crate) async fn checkpoints(
        &self,
        larger_than: u64,
        limit: u64,
    ) -> Result<Vec<Checkpoint>, Error> {
        let rows = audit_checkpoint::Entity::find()
            .filter(audit_checkpoint::Column::Size.gt(to_i64(larger_than)?))
            .order_by_asc(audit_checkpoint::Column::Size)
            .limit(limit)
            .all(&self.db.read)
            .await?;
        rows.into_iter().map(Checkpoint::try_from).collect()
    }

    /// What leads from the entry to a person; none where it is gone, as after
    /// an erasure.
    pub(crate) async fn link(
        &self,
        entry: &StoredEntry,
        at: Timestamp,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let Some(sealed) = &entry.sealed else {
            return Ok(None);
        };
        let id = entry.columns.id;
        if let Some(who) = entry.columns.who {
            let Some(resident) = self.resident_by_audit_pseudonym(who).await? else {
                return Ok(None);
            };
            let key = self.resident_key(resident.id).await?;
            key.map(|key| self.open_link(id, sealed, Sealer::Resident(&key)))
                .transpose()
        } else {
            let key = self.month_key_if_there(at).await?;
            key.map(|key| self.open_link(id, sealed, Sealer::Month(&key)))
                .transpose()
        }
    }
}
