//! The two databases that services run on.

use std::collections::BTreeMap;

use devmesh::layout::STORING;
use private_postgres::Postgres;

use crate::error::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    /// The one chosen, or both.
    pub(crate) fn chosen(one: Option<Self>) -> Vec<Self> {
        one.map_or_else(|| vec![Self::Sqlite, Self::Postgres], |one| vec![one])
    }

    /// Of both.
    pub(crate) fn names() -> Vec<&'static str> {
        Self::chosen(None).into_iter().map(Self::name).collect()
    }

    /// The key in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A database that runs: SQLite needs nothing, PostgreSQL a private server.
pub(crate) enum Server {
    Sqlite,
    Postgres(Postgres),
}

impl Server {
    pub(crate) fn start(database: Database) -> Result<Self, Error> {
        Ok(match database {
            Database::Sqlite => Self::Sqlite,
            Database::Postgres => Self::Postgres(Postgres::start()?),
        })
    }

    /// URLs of new databases for a mesh's services; none where each has a file
    /// in the mesh's folder.
    pub(crate) fn create_for(&self, mesh: &str) -> Result<BTreeMap<&'static str, String>, Error> {
        let Self::Postgres(server) = self else {
            return Ok(BTreeMap::new());
        };
        let mut urls = BTreeMap::new();
        for service in STORING {
            urls.insert(
                service,
                server.create_database(&format!("{service}-{mesh}"))?,
            );
        }
        Ok(urls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_measured_unless_one_is_chosen() {
        let both = [Database::Sqlite, Database::Postgres];
        assert_eq!(Database::chosen(None), both);
        assert_eq!(Database::chosen(Some(both[1])), [both[1]]);
    }
}
