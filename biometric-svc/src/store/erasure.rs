//! Erasures: first the key, then the rows, then what is said of them.

use futures::FutureExt;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{
    Store,
    change::hold_changes,
    entity::{erasure, subject, template},
};
use crate::error::Error;

/// Why somebody is erased and who asked for it, as the first receipt and the
/// last say it. The ledger, which a restore reads, knows neither.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) reason: Option<String>,
    pub(crate) requested_by: Option<String>,
}

/// An erasure as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Erasure {
    pub(crate) subject: Uuid,
    pub(crate) pseudonym: Uuid,
    pub(crate) order: Order,
    pub(crate) templates: u64,
    /// Whose end makes it final.
    pub(crate) epoch: i64,
    /// Microseconds since the Unix epoch, as all times here.
    pub(crate) erased_at: Option<i64>,
    pub(crate) ledger_number: Option<i64>,
    pub(crate) final_at: Option<i64>,
    pub(crate) receipt: Option<String>,
    pub(crate) final_receipt: Option<String>,
}

impl From<erasure::Model> for Erasure {
    fn from(row: erasure::Model) -> Self {
        Self {
            subject: row.subject_id,
            pseudonym: row.pseudonym,
            order: Order {
                reason: row.reason,
                requested_by: row.requested_by,
            },
            templates: u64::try_from(row.templates).unwrap_or(0),
            epoch: row.epoch,
            erased_at: row.erased_at,
            ledger_number: row.ledger_number,
            final_at: row.final_at,
            receipt: row.receipt,
            final_receipt: row.final_receipt,
        }
    }
}

impl Store {
    pub(crate) async fn erasure(&self, subject: Uuid) -> Result<Option<Erasure>, Error> {
        let row = erasure::Entity::find_by_id(subject)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Erasure::from))
    }

    /// The last one: a person who withdraws a consent goes on under another subject.
    pub(crate) async fn erasure_of(&self, pseudonym: Uuid) -> Result<Option<Erasure>, Error> {
        let row = erasure::Entity::find()
            .filter(erasure::Column::Pseudonym.eq(pseudonym))
            .order_by_desc(erasure::Column::BegunAt)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Erasure::from))
    }

    /// Those that a crash interrupted, the oldest first.
    pub(crate) async fn unfinished_erasures(&self) -> Result<Vec<Erasure>, Error> {
        let rows = erasure::Entity::find()
            .filter(erasure::Column::Receipt.is_null())
            .order_by_asc(erasure::Column::BegunAt)
            .all(&self.db.read)
            .await?;
        Ok(rows.into_iter().map(Erasure::from).collect())
    }

    /// Writes down that the subject goes, and destroys its key: from here on
    /// nothing of it can be read, whatever happens.
    pub(crate) async fn destroy_key(
        &self,
        subject: Uuid,
        pseudonym: Uuid,
        order: Order,
        at: i64,
    ) -> Result<(), Error> {
        let epoch = self.keyring.current().id;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    hold_changes(txn).await?;
                    let templates = template::Entity::find()
                        .filter(template::Column::SubjectId.eq(subject))
                        .count(txn)
                        .await?;
                    let begun = erasure::ActiveModel {
                        subject_id: Set(subject),
                        pseudonym: Set(pseudonym),
                        templates: Set(i64::try_from(templates).unwrap_or(i64::MAX)),
                        epoch: Set(epoch),
                        begun_at: Set(at),
                        erased_at: Set(None),
                        ledger_number: Set(None),
                        final_at: Set(None),
                        receipt: Set(None),
                        final_receipt: Set(None),
                        reason: Set(order.reason),
                        requested_by: Set(order.requested_by),
                    };
                    erasure::Entity::insert(begun)
                        .on_conflict(
                            OnConflict::column(erasure::Column::SubjectId)
                                .do_nothing()
                                .to_owned(),
                        )
                        .exec_without_returning(txn)
                        .await?;
                    subject::Entity::update_many()
                        .col_expr(subject::Column::WrappedKey, Expr::value(Vec::<u8>::new()))
                        .filter(subject::Column::Id.eq(subject))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// The rows, and the change that tells the other replicas.
    pub(crate) async fn delete_rows(&self, subject: Uuid, at: i64) -> Result<i64, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    hold_changes(txn).await?;
                    subject::Entity::delete_by_id(subject).exec(txn).await?;
                    template::Entity::delete_many()
                        .filter(template::Column::SubjectId.eq(subject))
                        .exec(txn)
                        .await?;
                    store.record_change(txn, subject, at).await
                }
                .boxed()
            })
            .await
    }

    /// The first receipt ends the erasure.
    pub(crate) async fn finish_erasure(&self, done: Erasure) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    erasure::Entity::update_many()
                        .col_expr(erasure::Column::ErasedAt, Expr::value(done.erased_at))
                        .col_expr(
                            erasure::Column::LedgerNumber,
                            Expr::value(done.ledger_number),
                        )
                        .col_expr(erasure::Column::FinalAt, Expr::value(done.final_at))
                        .col_expr(erasure::Column::Receipt, Expr::value(done.receipt))
                        .col_expr(
                            erasure::Column::FinalReceipt,
                            Expr::value(done.final_receipt),
                        )
                        .filter(erasure::Column::SubjectId.eq(done.subject))
                        .filter(erasure::Column::Receipt.is_null())
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// No copy from an epoch up to this one can be read any more.
    pub(crate) async fn make_final(&self, ended: i64, at: i64) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    erasure::Entity::update_many()
                        .col_expr(erasure::Column::FinalAt, Expr::value(Some(at)))
                        .filter(erasure::Column::FinalAt.is_null())
                        .filter(erasure::Column::Receipt.is_not_null())
                        .filter(erasure::Column::Epoch.lte(ended))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Keeps the final receipt, unless another replica was faster; the one
    /// that counts.
    pub(crate) async fn keep_final_receipt(
        &self,
        subject: Uuid,
        receipt: String,
    ) -> Result<String, Error> {
        let kept = receipt.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    erasure::Entity::update_many()
                        .col_expr(erasure::Column::FinalReceipt, Expr::value(Some(kept)))
                        .filter(erasure::Column::SubjectId.eq(subject))
                        .filter(erasure::Column::FinalReceipt.is_null())
                        .exec(txn)
                        .await?;
                    Ok::<(), Error>(())
                }
                .boxed()
            })
            .await?;
        let row = self.erasure(subject).await?;
        Ok(row.and_then(|row| row.final_receipt).unwrap_or(receipt))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh::{
        SystemClock,
        config::{DatabaseConfig, KeyringConfig},
        db,
        keyring::Keyring,
        shutdown::Shutdown,
    };
    use private_postgres::Postgres;
    use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        index::Protected,
        store::{NewTemplate, migration::Migrator},
    };

    const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
         AND NOT granted AND database = \
         (SELECT oid FROM pg_database WHERE datname = current_database())";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_enrolment_that_waits_sees_another_replicas_erasure() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyringConfig::at(folder.path().join("keyring.json"));
        let keyring = Keyring::open_or_create("biometric-svc", &keys, &SystemClock);
        let keyring = keyring.await.expect("a keyring");
        let server = Postgres::shared().expect("a private PostgreSQL server");
        let name = format!("biometric_{}", Uuid::new_v4().simple());
        let config = DatabaseConfig {
            url: server.create_database(&name).expect("a database"),
            max_connections: 4,
            allow_plaintext_for_development: false,
        };
        let db = db::open::<Migrator>(&config, Shutdown::new()).await;
        let db = db.expect("a store");
        let store = Store::new(db.clone(), keyring);

        // Another replica, in the middle of an erasure.
        let elsewhere = db.read.begin().await.expect("a transaction");
        hold_changes(&elsewhere).await.expect("held");
        let subject = Uuid::new_v4();
        let new = NewTemplate {
            id: Uuid::new_v4(),
            subject,
            model: "m".into(),
            model_version: "1".into(),
            rotation: 1,
            content: Protected(Zeroizing::new(vec![7; 8])),
            galleries: vec![Uuid::new_v4()],
            consent_reference: "signed form 1".into(),
            consented_at: 0,
            created_at: 0,
        };
        let enrolling = store.clone();
        let enrolment = tokio::spawn(async move { enrolling.put(new).await });
        let waiting = async {
            loop {
                let asked = Statement::from_string(DbBackend::Postgres, WAITING);
                let row = db.read.query_one_raw(asked).await.expect("asked");
                let count: i64 = row.expect("a row").try_get_by_index(0).expect("a count");
                if count > 0 {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        waited.expect("the enrolment waits");
        let erased = erasure::ActiveModel {
            subject_id: Set(subject),
            pseudonym: Set(Uuid::new_v4()),
            templates: Set(0),
            epoch: Set(1),
            begun_at: Set(0),
            erased_at: Set(None),
            ledger_number: Set(None),
            final_at: Set(None),
            receipt: Set(None),
            final_receipt: Set(None),
            reason: Set(None),
            requested_by: Set(None),
        };
        let erased = erasure::Entity::insert(erased).exec_without_returning(&elsewhere);
        erased.await.expect("written");
        elsewhere.commit().await.expect("committed");

        let enrolled = enrolment.await.expect("no panic");
        assert!(matches!(enrolled, Err(Error::SubjectNotFound)));
        let templates = template::Entity::find().count(&db.read).await;
        assert_eq!(templates.expect("counted"), 0);
    }
}
