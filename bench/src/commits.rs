//! What the database takes by itself: rows like those of events, inserted one
//! a commit and a thousand a commit, over one connection.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use mesh::crypto::fill_random;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database as Connect, DatabaseConnection, DbBackend, Statement,
    Value,
};
use uuid::Uuid;

use crate::{
    database::Server,
    error::{Error, other},
};

/// Rows in one statement, as events in one call.
pub(crate) const TOGETHER: usize = 1_000;

/// As the events of access-svc: an index over a hash, by which a repeat is known.
const COLUMNS: [(&str, Type); 12] = [
    ("id", Type::Id),
    ("kind", Type::Number),
    ("partner_id", Type::Id),
    ("dedupe", Type::Bytes),
    ("device_id", Type::Text),
    ("device_known", Type::Number),
    ("holder", Type::Id),
    ("resident_id", Type::Id),
    ("sealed", Type::Bytes),
    ("opened_at", Type::Number),
    ("received_at", Type::Number),
    ("number", Type::Number),
];
const HASH: usize = 32;
/// A credential's id, sealed.
const SEALED: usize = 40;

#[derive(Clone, Copy)]
enum Type {
    Id,
    Number,
    Bytes,
    Text,
}

impl Type {
    fn of(self, backend: DbBackend) -> &'static str {
        match (self, backend) {
            (Self::Id, DbBackend::Postgres) => "uuid",
            (Self::Bytes, DbBackend::Postgres) => "bytea",
            (Self::Id | Self::Bytes, _) => "blob",
            (Self::Number, _) => "bigint",
            (Self::Text, _) => "text",
        }
    }
}

/// One connection, set as services set theirs.
pub(crate) struct Commits {
    connection: DatabaseConnection,
    one: String,
    many: String,
}

/// How long commits took in one round.
pub(crate) struct Taken {
    pub(crate) rows: u64,
    spent: Duration,
    /// Microseconds.
    latency: Histogram<u64>,
}

impl Taken {
    /// Rows a second of the time that the database had.
    pub(crate) fn per_second(&self) -> f64 {
        self.rows as f64 / self.spent.as_secs_f64()
    }

    pub(crate) fn p50_us(&self) -> f64 {
        self.latency.value_at_quantile(0.5) as f64
    }
}

impl Commits {
    /// On the same server, or in a file of the folder where services have theirs.
    pub(crate) async fn open(server: &Server, folder: &Path) -> Result<Self, Error> {
        let url = match server {
            Server::Sqlite => format!("sqlite://{}", folder.join("commits.db").display()),
            Server::Postgres(postgres) => postgres.create_database("commits")?,
        };
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(1)
            .sqlx_logging(false)
            .test_before_acquire(false)
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .create_if_missing(true)
                    .pragma("journal_mode", "WAL")
                    .pragma("synchronous", "FULL")
                    .pragma("secure_delete", "ON")
            });
        let connection = Connect::connect(options).await.map_err(other)?;
        let backend = connection.get_database_backend();
        for statement in [
            table(backend),
            "CREATE UNIQUE INDEX told_by_dedupe ON told (dedupe)".into(),
        ] {
            connection
                .execute_unprepared(&statement)
                .await
                .map_err(other)?;
        }
        Ok(Self {
            one: insertion(backend, 1),
            many: insertion(backend, TOGETHER),
            connection,
        })
    }

    /// One row a commit, for so long.
    pub(crate) async fn single(&self, duration: Duration) -> Result<Taken, Error> {
        self.insert(&self.one, 1, duration).await
    }

    /// A thousand rows a statement and commit, for so long.
    pub(crate) async fn bulk(&self, duration: Duration) -> Result<Taken, Error> {
        self.insert(&self.many, TOGETHER, duration).await
    }

    async fn insert(&self, sql: &str, rows: usize, duration: Duration) -> Result<Taken, Error> {
        let backend = self.connection.get_database_backend();
        let mut taken = Taken {
            rows: 0,
            spent: Duration::ZERO,
            latency: Histogram::new_with_bounds(1, 60_000_000, 3).map_err(other)?,
        };
        let end = Instant::now() + duration;
        while Instant::now() < end {
            let mut values = Vec::with_capacity(rows * COLUMNS.len());
            for _ in 0..rows {
                values.extend(row()?);
            }
            let statement = Statement::from_sql_and_values(backend, sql, values);
            // A statement by itself is a transaction; making it is not the database's.
            let started = Instant::now();
            let inserted = self.connection.execute_raw(statement).await;
            let spent = started.elapsed();
            taken.rows += inserted.map_err(other)?.rows_affected();
            taken.spent += spent;
            let micros = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
            taken.latency.saturating_record(micros);
        }
        Ok(taken)
    }
}

fn table(backend: DbBackend) -> String {
    let columns = COLUMNS.map(|(name, kind)| {
        let kind = kind.of(backend);
        format!("{name} {kind} NOT NULL")
    });
    format!(
        "CREATE TABLE told ({}, PRIMARY KEY (id))",
        columns.join(", ")
    )
}

fn insertion(backend: DbBackend, rows: usize) -> String {
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let rows: Vec<String> = (0..rows)
        .map(|row| {
            let places: Vec<String> = (1..=COLUMNS.len())
                .map(|column| place(backend, row * COLUMNS.len() + column))
                .collect();
            format!("({})", places.join(", "))
        })
        .collect();
    format!("INSERT INTO told ({names}) VALUES {}", rows.join(", "))
}

/// SQLite looks up each numbered one among all of them.
fn place(backend: DbBackend, number: usize) -> String {
    match backend {
        DbBackend::Postgres => format!("${number}"),
        _ => "?".into(),
    }
}

fn row() -> Result<[Value; COLUMNS.len()], Error> {
    let bytes = |length| {
        let mut bytes = vec![0_u8; length];
        fill_random(&mut bytes).map_err(other)?;
        Ok::<_, Error>(Value::from(bytes))
    };
    let number = Value::from(1_764_000_000_000_000_i64);
    Ok([
        Value::from(Uuid::now_v7()),
        number.clone(),
        Value::from(Uuid::nil()),
        bytes(HASH)?,
        Value::from("door-1"),
        number.clone(),
        Value::from(Uuid::nil()),
        Value::from(Uuid::nil()),
        bytes(SEALED)?,
        number.clone(),
        number.clone(),
        number,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_gets_its_own_words() {
        let two = insertion(DbBackend::Postgres, 2);
        assert!(two.contains("VALUES ($1, $2, "), "{two}");
        assert!(two.ends_with("$23, $24)"), "{two}");
        let two = insertion(DbBackend::Sqlite, 2);
        assert_eq!(two.matches('?').count(), 2 * COLUMNS.len());
        assert!(table(DbBackend::Postgres).contains("dedupe bytea NOT NULL"));
        assert!(table(DbBackend::Sqlite).contains("dedupe blob NOT NULL"));
    }

    #[tokio::test]
    async fn rows_are_counted_as_they_are_stored() {
        let folder = tempfile::tempdir().expect("a folder");
        let commits = Commits::open(&Server::Sqlite, folder.path())
            .await
            .expect("a database");
        let single = commits.single(Duration::from_millis(20)).await;
        let single = single.expect("inserted");
        assert_eq!(single.rows, single.latency.len());
        let bulk = commits.bulk(Duration::from_millis(1)).await;
        let bulk = bulk.expect("inserted");
        assert_eq!(bulk.rows, bulk.latency.len() * TOGETHER as u64);
        assert!(bulk.per_second() > 0.0 && bulk.p50_us() > 0.0);
    }
}
