//! Putting a backup into an empty store.

use std::path::PathBuf;

use futures::FutureExt;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, sea_query::Expr};

use super::{
    Backup, BackupError, Cell,
    check::{Expected, Opened, Tables},
    format::Whole,
    take::migrations,
};
use crate::{
    custody::{Custody, CustodyError, entity::store_identity, residency},
    fault,
};

/// Bytes of values that are held before they are inserted, about.
const TOGETHER: usize = 4 * 1024 * 1024;

/// Values in a batch at most.
const MOST_CELLS: usize = 30_000;

impl Custody {
    /// For the holder of the lease.
    pub(in crate::custody) async fn put_back(&self, path: PathBuf) -> Result<Backup, CustodyError> {
        let expected = self.expected();
        let whole = expected.verify(&path).await?;
        self.check_migrations(&whole).await?;
        let number = whole.header.ledger_number;
        if number > 0 {
            let known_by = format!("backup {}", path.display());
            self.ledger()?.require(number, &known_by).await?;
        }
        let backup = Backup::of(&whole, None);
        self.inner
            .db
            .writer
            .write(move |txn| async move { fill(txn, &expected, &whole).await }.boxed())
            .await?;
        tracing::info!(path = %path.display(), "backup restored");
        Ok(backup)
    }

    /// A release reads what an older one wrote, not the other way round.
    async fn check_migrations(&self, whole: &Whole) -> Result<(), CustodyError> {
        let known = migrations(&self.inner.db.read).await?;
        let unknown = |name: &&String| !known.contains(name);
        match whole.header.migrations.iter().find(unknown) {
            None => Ok(()),
            Some(name) => Err(BackupError::Newer {
                path: whole.path.clone(),
                unknown: format!("the migration {name}"),
            }
            .into()),
        }
    }
}

pub(super) async fn fill(
    txn: &DatabaseTransaction,
    expected: &Expected,
    verified: &Whole,
) -> Result<(), CustodyError> {
    let Opened {
        mut reader,
        key,
        tables,
    } = expected.open(&verified.path).await?;
    empty(txn, expected, &tables).await?;
    let mut batch = Batch::default();
    while let Some(row) = reader.next().await? {
        let Some((_, columns)) = tables.get(&row.t) else {
            return Err(reader.damaged("is of a table the header lacks").into());
        };
        if batch.is_full(&row.t) {
            batch.flush(txn, &tables).await?;
        }
        batch.take(row.t, columns.len(), row.r);
    }
    batch.flush(txn, &tables).await?;
    for (table, _) in tables.values() {
        table.finish(txn).await?;
    }
    let whole = reader.finish(&key).await?;
    if whole.sha256 != verified.sha256 {
        return Err(BackupError::Changed.into());
    }
    // Until the service has done these erasures again, a crash must not make
    // it forget that it has to.
    let number = i64::try_from(whole.header.ledger_number).unwrap_or(i64::MAX);
    store_identity::Entity::update_many()
        .col_expr(store_identity::Column::ReplayAfter, Expr::val(Some(number)))
        .filter(store_identity::Column::Id.eq(residency::ROW))
        .exec(txn)
        .await?;
    fault::point("restore.before_commit");
    Ok(())
}

/// Refuses a store with rows of its own; takes out what every start makes and
/// the backup has.
async fn empty(
    txn: &DatabaseTransaction,
    expected: &Expected,
    tables: &Tables<'_>,
) -> Result<(), CustodyError> {
    for table in &expected.tables {
        table.lock(txn).await?;
    }
    for table in &expected.tables {
        if !table.is_made_at_start() && !table.is_empty(txn).await? {
            return Err(BackupError::NotEmpty {
                table: table.name(),
            }
            .into());
        }
    }
    // What refers to others goes before them.
    for table in expected.tables.iter().rev() {
        if table.is_made_at_start() && tables.contains_key(table.name()) {
            table.clear(txn).await?;
        }
    }
    Ok(())
}

/// Rows of one table that are inserted together.
#[derive(Default)]
struct Batch {
    table: String,
    rows: Vec<Vec<Cell>>,
    cells: usize,
    bytes: usize,
}

impl Batch {
    /// Whether what it holds must go before a row of that table comes.
    fn is_full(&self, table: &str) -> bool {
        !self.rows.is_empty()
            && (self.table != table || self.cells >= MOST_CELLS || self.bytes >= TOGETHER)
    }

    fn take(&mut self, table: String, columns: usize, row: Vec<Cell>) {
        self.table = table;
        self.cells += columns;
        self.bytes += row.iter().map(size).sum::<usize>();
        self.rows.push(row);
    }

    async fn flush(
        &mut self,
        txn: &DatabaseTransaction,
        tables: &Tables<'_>,
    ) -> Result<(), CustodyError> {
        let batch = std::mem::take(self);
        if let Some((table, columns)) = tables.get(&batch.table) {
            table.insert(txn, columns, batch.rows).await?;
        }
        Ok(())
    }
}

fn size(cell: &Cell) -> usize {
    match cell {
        Cell::Text(Some(text)) => text.len(),
        Cell::Bytes(Some(blob)) => blob.0.len(),
        _ => 16,
    }
}
