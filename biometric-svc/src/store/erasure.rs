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
    entity::{erasure, subject, template},
};
use crate::error::Error;

/// An erasure as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Erasure {
    pub(crate) subject: Uuid,
    pub(crate) pseudonym: Uuid,
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
        at: i64,
    ) -> Result<(), Error> {
        let epoch = self.keyring.current().id;
        self.db
            .writer
            .write(move |txn| {
                async move {
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
