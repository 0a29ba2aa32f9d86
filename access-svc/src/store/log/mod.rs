//! The audit log's rows: entries, written in the transactions of what they tell
//! and numbered later; the tree's hashes; checkpoints.

mod acts;
mod months;
mod outside;
mod read;
mod retention;
mod sequence;

use audit_log::{
    Columns, Entry,
    entry::{code::NEAR_MISS, digest},
};
use futures::FutureExt;
use mesh::{
    crypto::{Key, macs_equal},
    db::named_key,
};
pub(crate) use months::MonthKey;
pub(super) use months::Months;
pub(crate) use outside::Place;
pub(crate) use read::{EntryFilter, StoredEntry};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, Statement,
    Value,
    sea_query::{Expr, OnConflict},
};
pub(crate) use sequence::{Batch, Checkpoint};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    ROWS, ResidentKey, Store, context,
    entity::{audit_entry, resident},
};
use crate::{domain::entry::Link, error::Error};

/// Of the name of the key by which entries are known as ours.
pub(crate) const ENTRY_KEY: &str = "audit-entry";
const LINK: &str = "audit link";

/// An entry ready to be stored.
#[derive(Clone)]
pub(crate) struct NewEntry {
    row: audit_entry::Model,
}

impl NewEntry {
    /// Known as ours by the store's key of entries.
    pub(super) fn keyed(key: &Key, entry: &Entry, sealed: Option<Vec<u8>>) -> Result<Self, Error> {
        let payload = entry.to_text().map_err(|_| Error::Corrupt("audit entry"))?;
        let payload = payload.into_bytes();
        let columns = Columns::of(entry);
        Ok(Self {
            row: audit_entry::Model {
                id: columns.id,
                number: None,
                mac: mac(key, columns.id, &payload),
                payload,
                sealed,
                code: columns.code,
                device_id: columns.device,
                audit_pseudonym: columns.who,
                opening_id: columns.opening,
            },
        })
    }
}

/// Under whose key a link is sealed.
#[derive(Clone, Copy)]
pub(crate) enum Sealer<'a> {
    Resident(&'a ResidentKey),
    /// For nobody known.
    Month(&'a MonthKey),
}

impl Sealer<'_> {
    pub(super) fn key(&self) -> &Key {
        match self {
            Self::Resident(key) => &key.0,
            Self::Month(key) => key.key(),
        }
    }
}

impl Store {
    /// With the link beside it, where there is one.
    pub(crate) fn new_entry(
        &self,
        mut entry: Entry,
        link: Option<(&Link, Sealer<'_>)>,
    ) -> Result<NewEntry, Error> {
        let sealed = match link {
            Some((link, sealer)) => {
                let context = context(LINK, entry.id);
                Some(sealer.key().seal(&link.to_bytes(), &context)?)
            }
            None => None,
        };
        entry.sealed = sealed.as_deref().map(digest);
        NewEntry::keyed(&self.keys.entry, &entry, sealed)
    }

    /// Queues an entry of something that no other row tells.
    pub(crate) async fn tell(&self, entry: Entry) -> Result<(), Error> {
        let entry = self.new_entry(entry, None)?;
        self.db
            .writer
            .write(move |txn| async move { Ok(insert(txn, vec![entry]).await?) }.boxed())
            .await
    }

    /// Whether the store's key of entries is the one held here. A backup that was
    /// put into the store brings its own: until this process has started over,
    /// what it holds is no forgery.
    pub(crate) async fn holds_entry_key(&self) -> Result<bool, Error> {
        let Some(wrapped) = named_key::wrapped(&self.db.read, ENTRY_KEY).await? else {
            return Ok(false);
        };
        let stored = self.keyring.unwrap(&wrapped, ENTRY_KEY.as_bytes());
        Ok(stored.is_ok_and(|stored| macs_equal(stored.expose(), self.keys.entry.expose())))
    }

    fn is_ours(&self, row: &audit_entry::Model) -> bool {
        macs_equal(&mac(&self.keys.entry, row.id, &row.payload), &row.mac)
    }

    fn open_link(
        &self,
        id: Uuid,
        sealed: &[u8],
        sealer: Sealer<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        Ok(sealer.key().open(sealed, &context(LINK, id))?)
    }
}

/// What tells an entry of ours from one that somebody else put in the queue.
fn mac(key: &Key, id: Uuid, payload: &[u8]) -> Vec<u8> {
    key.mac(&[id.as_bytes(), payload]).to_vec()
}

/// Queues entries in the transaction of what they tell; one that is there
/// already is left as it is.
pub(super) async fn insert(
    txn: &DatabaseTransaction,
    mut entries: Vec<NewEntry>,
) -> Result<(), DbErr> {
    // One order everywhere, or two replicas lock each other out.
    entries.sort_by_key(|entry| entry.row.id);
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(ROWS));
        let rows = entries
            .into_iter()
            .map(|entry| audit_entry::ActiveModel::from(entry.row));
        audit_entry::Entity::insert_many(rows)
            .on_conflict(
                OnConflict::column(audit_entry::Column::Id)
                    .do_nothing()
                    .to_owned(),
            )
            .exec_without_returning(txn)
            .await?;
        entries = rest;
    }
    Ok(())
}

/// The links of readings that nearly were a plate of the resident's.
const UNLINK_NEAR_MISSES: &str = "UPDATE audit_entries SET sealed = NULL \
     WHERE sealed IS NOT NULL AND audit_pseudonym IS NULL AND opening_id IN \
     (SELECT opening_id FROM audit_entries \
      WHERE audit_pseudonym = $1 AND code = $2 AND opening_id IS NOT NULL)";

/// Destroys what leads from entries to a resident.
pub(super) async fn unlink(txn: &DatabaseTransaction, who: Uuid) -> Result<(), DbErr> {
    use audit_entry::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::Sealed, Expr::value(None::<Vec<u8>>))
        .filter(Column::AuditPseudonym.eq(who))
        .filter(Column::Sealed.is_not_null())
        .exec(txn)
        .await?;
    let values = [Value::from(who), Value::from(NEAR_MISS)];
    let backend = txn.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, UNLINK_NEAR_MISSES, values);
    txn.execute_raw(statement).await?;
    Ok(())
}

/// The resident's name in logs; none for one who is gone.
pub(super) async fn name_in_logs(
    txn: &DatabaseTransaction,
    resident: Uuid,
) -> Result<Option<Uuid>, DbErr> {
    let row = resident::Entity::find_by_id(resident).one(txn).await?;
    Ok(row.map(|row| row.audit_pseudonym))
}

/// Numbers stand in the database as it counts.
fn to_i64(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::Corrupt("audit number"))
}

fn to_u64(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::Corrupt("audit number"))
}
