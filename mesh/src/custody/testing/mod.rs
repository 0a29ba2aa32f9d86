//! A small service of no use, for the tests of custody.

mod schema;
mod store;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use private_postgres::Postgres;
pub(crate) use schema::{change, thing, version};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    EntityTrait, QueryOrder,
};
use tempfile::TempDir;
use uuid::Uuid;

use self::{schema::Migrator, store::Store};
use super::{
    Custody, CustodyError, Parts,
    config::{BackupConfig, ErasureConfig, Particulars, ResidencyConfig},
};
use crate::{
    Clock, SystemClock,
    config::{DatabaseConfig, KeyringConfig},
    db::{self, Db},
    keyring::{Keyring, WrappedKey},
    shutdown::Shutdown,
};

const SERVICE: &str = "a-svc";

/// A service's surroundings. Clones share the store.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) service: &'static str,
    pub(crate) residency: ResidencyConfig,
    pub(crate) backup: BackupConfig,
    pub(crate) erasure: ErasureConfig,
    pub(crate) keys: KeyringConfig,
    pub(crate) db: Db,
    pub(crate) keyring: Keyring,
    store: Arc<Store>,
    pub(crate) restarts: Arc<AtomicU32>,
    pub(crate) folder: Arc<TempDir>,
    server: Option<&'static Postgres>,
}

impl Place {
    pub(crate) async fn sqlite() -> Self {
        Self::on(None).await
    }

    /// On a private server, in a database of its own.
    pub(crate) async fn postgres() -> Self {
        let server = Postgres::shared().expect("a private PostgreSQL server");
        Self::on(Some(server)).await
    }

    async fn on(server: Option<&'static Postgres>) -> Self {
        crate::jose::install_crypto();
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let keys = KeyringConfig::at(folder.path().join("keys/keyring.json"));
        let keyring = Keyring::open_or_create(SERVICE, &keys, &SystemClock)
            .await
            .expect("a keyring");
        let db = database(server, folder.path()).await;
        Self {
            service: SERVICE,
            residency: ResidencyConfig {
                region: "ru-moscow".into(),
                deployment: "d-1".into(),
                adopt_store_without_identity: false,
            },
            backup: BackupConfig {
                folder: Some(folder.path().join("backups")),
            },
            erasure: ErasureConfig {
                ledger: folder.path().join("erasures.jsonl"),
                copies: vec![folder.path().join("elsewhere")],
                act: Particulars::default(),
            },
            store: Store::shared(&db, &keyring),
            keys,
            db,
            keyring,
            restarts: Arc::default(),
            folder,
            server,
        }
    }

    /// Surroundings of their own, on the same kind of database.
    pub(crate) async fn anew(&self) -> Self {
        Self::on(self.server).await
    }

    /// The same surroundings, to be changed.
    pub(crate) fn again(&self) -> Self {
        self.clone()
    }

    /// An empty store beside the same keyring, ledger and backups.
    pub(crate) async fn with_empty_store(&self) -> Self {
        self.with_store(database(self.server, self.folder.path()).await)
    }

    pub(crate) fn with_store(&self, db: Db) -> Self {
        Self {
            store: Store::shared(&db, &self.keyring),
            db,
            restarts: Arc::default(),
            ..self.clone()
        }
    }

    /// As after a crash: the keyring is read again, nothing is remembered.
    pub(crate) async fn restarted(&self) -> Self {
        let keyring = Keyring::open(SERVICE, &self.keys).await.expect("a keyring");
        Self {
            store: Store::shared(&self.db, &keyring),
            keyring,
            ..self.clone()
        }
    }

    /// Nothing goes on by itself, and no writer is waited for.
    pub(crate) async fn open(&self) -> Result<Custody, CustodyError> {
        let restarts = self.restarts.clone();
        let parts = Parts {
            service: self.service,
            db: self.db.clone(),
            keyring: self.keyring.clone(),
            custodian: self.store.clone(),
            clock: Arc::new(SystemClock) as Arc<dyn Clock>,
            residency: self.residency.clone(),
            backup: self.backup.clone(),
            erasure: Some(self.erasure.clone()),
            rotate_every_days: 7,
            shutdown: Shutdown::new(),
            restart: Arc::new(move || {
                restarts.fetch_add(1, Ordering::SeqCst);
            }),
        };
        Custody::open_with(parts, Duration::ZERO).await
    }

    /// Rows with and without what may be null.
    pub(crate) async fn add_things(&self, count: u8) {
        for n in 0..count {
            let id = Uuid::new_v4();
            let (key, wrapped) = self
                .keyring
                .new_data_key(id.as_bytes())
                .expect("a data key");
            let some = n % 2 == 0;
            thing::Entity::insert(thing::ActiveModel {
                id: Set(id),
                epoch: Set(wrapped.epoch),
                wrapped_key: Set(wrapped.sealed),
                sealed: Set(key.seal(&[n; 40], id.as_bytes()).expect("sealed")),
                kind: Set(i16::MIN + i16::from(n)),
                count: Set(i32::MAX - i32::from(n)),
                flag: Set(some),
                note: Set(some.then(|| format!("line\n\"{n}\" \u{44f}"))),
                site: Set(some.then(Uuid::new_v4)),
                ends_at: Set(some.then(|| i64::MIN + i64::from(n))),
                extra: Set(some.then(|| vec![0, n, 255])),
            })
            .exec_without_returning(&self.db.read)
            .await
            .expect("a row");
            self.add_change(&format!("thing {n}")).await;
        }
    }

    /// Its id.
    pub(crate) async fn add_change(&self, what: &str) -> i64 {
        change::Entity::insert(change::ActiveModel {
            id: NotSet,
            what: Set(what.into()),
        })
        .exec(&self.db.read)
        .await
        .expect("a row")
        .last_insert_id
    }

    /// All of the service's own rows.
    pub(crate) async fn rows(&self) -> (Vec<thing::Model>, Vec<change::Model>) {
        let things = thing::Entity::find()
            .order_by_asc(thing::Column::Id)
            .all(&self.db.read)
            .await
            .expect("rows");
        let changes = change::Entity::find()
            .order_by_asc(change::Column::Id)
            .all(&self.db.read)
            .await
            .expect("rows");
        (things, changes)
    }

    /// Opens every row, to the last byte.
    pub(crate) async fn read_things(&self) {
        for row in self.rows().await.0 {
            let wrapped = WrappedKey {
                epoch: row.epoch,
                sealed: row.wrapped_key,
            };
            let key = self.keyring.unwrap(&wrapped, row.id.as_bytes());
            let plain = key.expect("a key").open(&row.sealed, row.id.as_bytes());
            assert_eq!(plain.expect("opens").len(), 40);
        }
    }

    pub(crate) fn ended(&self) -> Vec<i64> {
        self.store.ended()
    }

    /// A backup under another name, which no rotation deletes.
    pub(crate) fn keep_aside(&self, backup: &Path) -> PathBuf {
        let aside = backup.with_extension("aside");
        std::fs::copy(backup, &aside).expect("copied");
        aside
    }
}

async fn database(server: Option<&Postgres>, folder: &Path) -> Db {
    let name = format!("custody_{}", Uuid::new_v4().simple());
    let url = match server {
        None => format!("sqlite://{}", folder.join(name).display()),
        Some(server) => server.create_database(&name).expect("a database"),
    };
    let config = DatabaseConfig {
        url,
        allow_plaintext_for_development: false,
        max_connections: 4,
    };
    db::open::<Migrator>(&config, Shutdown::new())
        .await
        .expect("a store")
}

/// Runs each test on SQLite and on PostgreSQL.
macro_rules! on_each_database {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::custody::testing::Place::sqlite().await).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::custody::testing::Place::postgres().await).await;
                }
            )+
        }
    };
}

pub(crate) use on_each_database;
