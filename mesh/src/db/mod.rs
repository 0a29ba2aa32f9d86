//! Databases of the services: connecting, migrating, and writing in groups.

pub mod lease;
pub mod named_key;
mod transport;
mod writer;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr};
use sea_orm_migration::{MigratorTrait, prelude::SchemaManager};
pub use writer::{WriteError, Writer};

use crate::{config::DatabaseConfig, shutdown::Shutdown};

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("database.url is neither sqlite://<file> nor postgres://…")]
    Url,
    #[error(
        "database.url names a PostgreSQL over the network with a weaker sslmode than verify-full"
    )]
    Unverified,
    #[error("the database cannot be opened: {0}")]
    Connect(DbErr),
    #[error("the database cannot be migrated: {0}")]
    Migrate(DbErr),
    #[error(
        "the database is of a newer schema: it has the migration {0}, which this program does not know"
    )]
    Newer(String),
}

/// A service's database: many readers, one writer that groups.
#[derive(Clone)]
pub struct Db {
    /// For reading. Writes go through `writer`.
    pub read: DatabaseConnection,
    pub writer: Writer,
}

/// Connects, refuses a schema newer than the program, migrates.
pub async fn open<M: MigratorTrait>(
    config: &DatabaseConfig,
    shutdown: Shutdown,
) -> Result<Db, OpenError> {
    let sqlite = config.url.starts_with("sqlite:");
    let postgres = config.url.starts_with("postgres://") || config.url.starts_with("postgresql://");
    if !sqlite && !postgres {
        return Err(OpenError::Url);
    }
    let write = connect(config, if sqlite { 1 } else { 2 }).await?;
    migrate::<M>(&write).await?;
    let read = connect(config, config.max_connections.max(1)).await?;
    Ok(Db {
        read,
        writer: Writer::start(write, shutdown),
    })
}

async fn connect(config: &DatabaseConfig, most: u32) -> Result<DatabaseConnection, OpenError> {
    let ssl_mode = transport::ssl_mode(config)?;
    let mut options = ConnectOptions::new(&config.url);
    options
        .max_connections(most)
        .min_connections(1)
        // Statements would be logged with what they look for.
        .sqlx_logging(false)
        .acquire_timeout(std::time::Duration::from_secs(8))
        // A round trip before every statement would be half of what most cost.
        .test_before_acquire_if_idle_for(std::time::Duration::from_secs(1))
        .map_sqlx_postgres_opts(move |postgres| postgres.ssl_mode(ssl_mode))
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .create_if_missing(true)
                .foreign_keys(true)
                .busy_timeout(std::time::Duration::from_secs(3))
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("secure_delete", "ON")
        });
    Database::connect(options).await.map_err(OpenError::Connect)
}

async fn migrate<M: MigratorTrait>(db: &DatabaseConnection) -> Result<(), OpenError> {
    let known: Vec<String> = M::migrations()
        .iter()
        .map(|m| m.name().to_owned())
        .collect();
    M::install(db).await.map_err(OpenError::Migrate)?;
    let applied = M::get_migration_models(db)
        .await
        .map_err(OpenError::Migrate)?;
    if let Some(stranger) = applied.into_iter().find(|m| !known.contains(&m.version)) {
        return Err(OpenError::Newer(stranger.version));
    }
    M::up(db, None).await.map_err(OpenError::Migrate)
}

/// Whether an insertion failed because the row is there already.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_))
    )
}

/// The column type of keys that both databases hold as bytes.
pub fn is_postgres(db: &impl ConnectionTrait) -> bool {
    db.get_database_backend() == DbBackend::Postgres
}

/// For migrations that differ between the two databases.
pub fn on_postgres(manager: &SchemaManager<'_>) -> bool {
    manager.get_database_backend() == DbBackend::Postgres
}
