//! Erasures, each at its step. Whoever takes a step holds the row until the
//! commit, so that it is taken once, whichever replica tries.

use std::collections::HashMap;

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    custody::ledger::Entry,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use uuid::Uuid;

use super::{
    Page, Store,
    entity::{self, erasure, erasure_receipt},
    event::forget_person,
};
use crate::{
    domain::{
        erasure::{Counts, Erasure, GivenReceipt, Order, Reason, Step},
        event::HoldingKind,
    },
    error::{Error, Noun},
};

/// Whose erasure is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Whom {
    Pseudonym(Uuid),
    Resident(Uuid),
}

impl TryFrom<erasure::Model> for Erasure {
    type Error = Error;

    fn try_from(row: erasure::Model) -> Result<Self, Error> {
        Ok(Self {
            resident: row.resident_id,
            pseudonym: row.pseudonym,
            subject: row.subject_id,
            step: Step::from_code(row.step).ok_or(Error::Corrupt("erasure step"))?,
            order: Order {
                reason: Reason::from_code(row.reason),
                requested_by: row.requested_by,
            },
            replayed: row.replayed,
            begun_at: from_micros(row.begun_at),
            erased_at: row.erased_at.map(from_micros),
            counts: serde_json::from_str(&row.counts)
                .map_err(|_| Error::Corrupt("erasure counts"))?,
            epoch: row.epoch,
            ledger_number: row
                .ledger_number
                .and_then(|number| u64::try_from(number).ok()),
            final_at: row.final_at.map(from_micros),
            biometric_final_at: row.biometric_final_at.map(from_micros),
        })
    }
}

impl Store {
    /// Ends every right at once. None where nobody of that id is or was there;
    /// one that has begun is given back as it is.
    pub(crate) async fn begin_erasure(
        &self,
        resident: Uuid,
        order: Order,
        now: Timestamp,
    ) -> Result<Option<Erasure>, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    // Waits for what is being written for the resident.
                    let row = entity::resident::Entity::find_by_id(resident)
                        .lock_exclusive()
                        .one(txn)
                        .await?;
                    if let Some(begun) = find(txn, resident).await? {
                        return Ok(Some(begun));
                    }
                    let Some(row) = row else {
                        return Ok(None);
                    };
                    end_rights(txn, resident).await?;
                    let begun = erasure::Model {
                        subject_id: Some(row.subject_id),
                        step: Step::Rights.code(),
                        reason: order.reason.code(),
                        requested_by: order.requested_by,
                        ..new_row(resident, row.audit_pseudonym, now)
                    };
                    insert(txn, begun).await.map(Some)
                }
                .boxed()
            })
            .await
    }

    /// Begins again an erasure of the ledger, which this store has not come to
    /// the end of, since it was restored. The ledger is written last: the
    /// biometric store, which has one of its own, has erased.
    pub(crate) async fn replay_erasure(&self, entry: Entry, now: Timestamp) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use erasure::{Column, Entity};
                    let resident = entry.id;
                    let known = find(txn, resident).await?;
                    if known
                        .as_ref()
                        .is_some_and(|known| known.step >= Step::Columns)
                    {
                        return Ok(());
                    }
                    end_rights(txn, resident).await?;
                    if known.is_none() {
                        insert(txn, new_row(resident, entry.pseudonym, now)).await?;
                    }
                    Entity::update_many()
                        .col_expr(Column::Replayed, Expr::val(true))
                        .col_expr(Column::ErasedAt, Expr::val(to_micros(entry.at)))
                        .filter(Column::ResidentId.eq(resident))
                        .exec(txn)
                        .await?;
                    take(txn, resident, Step::Biometrics).await?;
                    forget_subject(txn, resident).await
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn erasure(&self, whom: Whom) -> Result<Option<Erasure>, Error> {
        let query = match whom {
            Whom::Resident(id) => erasure::Entity::find_by_id(id),
            Whom::Pseudonym(id) => {
                erasure::Entity::find().filter(erasure::Column::Pseudonym.eq(id))
            }
        };
        let row = query.one(&self.db.read).await?;
        row.map(Erasure::try_from).transpose()
    }

    /// By resident, after the resident given.
    pub(crate) async fn list_erasures(
        &self,
        only_unfinished: bool,
        page: Page,
    ) -> Result<Vec<Erasure>, Error> {
        use erasure::Column;
        let mut query = erasure::Entity::find().order_by_asc(Column::ResidentId);
        if only_unfinished {
            let here = Column::Step.ne(Step::Final.code());
            query = query.filter(here.or(Column::BiometricFinalAt.is_null()));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::ResidentId.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        rows.into_iter().map(Erasure::try_from).collect()
    }

    /// Erasures that can be gone on with.
    pub(crate) async fn unfinished_erasures(&self) -> Result<Vec<Uuid>, Error> {
        use erasure::Column;
        let receipted = Column::Step.eq(Step::Receipt.code());
        let unfinished = Column::Step
            .lt(Step::Receipt.code())
            .or(receipted.and(Column::FinalAt.is_not_null()));
        Ok(erasure::Entity::find()
            .select_only()
            .column(Column::ResidentId)
            .filter(unfinished)
            .into_tuple()
            .all(&self.db.read)
            .await?)
    }

    /// Erasures of which the biometric store has yet to give its last receipt.
    pub(crate) async fn erasures_to_be_confirmed(&self) -> Result<Vec<Erasure>, Error> {
        use erasure::Column;
        let rows = erasure::Entity::find()
            .filter(Column::Step.gte(Step::Receipt.code()))
            .filter(Column::BiometricFinalAt.is_null())
            .all(&self.db.read)
            .await?;
        rows.into_iter().map(Erasure::try_from).collect()
    }

    /// The greatest number of the ledger that this store knows.
    pub(crate) async fn last_ledger_number(&self) -> Result<u64, Error> {
        use erasure::Column;
        let last = erasure::Entity::find()
            .select_only()
            .column(Column::LedgerNumber)
            .filter(Column::LedgerNumber.is_not_null())
            .order_by_desc(Column::LedgerNumber)
            .into_tuple::<i64>()
            .one(&self.db.read)
            .await?;
        Ok(last
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or(0))
    }

    pub(crate) async fn biometrics_erased(
        &self,
        resident: Uuid,
        templates: u32,
        receipt: Option<GivenReceipt>,
        final_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if !take(txn, resident, Step::Biometrics).await? {
                        return Ok(());
                    }
                    forget_subject(txn, resident).await?;
                    count(txn, resident, |counts| counts.templates = templates).await?;
                    add_receipts(txn, resident, receipt.into_iter().collect()).await?;
                    confirm(txn, resident, final_at).await
                }
                .boxed()
            })
            .await
    }

    /// What the biometric store has receipted, the oldest first.
    pub(crate) async fn biometrics_receipted(
        &self,
        resident: Uuid,
        receipts: Vec<GivenReceipt>,
        final_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    add_receipts(txn, resident, receipts).await?;
                    confirm(txn, resident, final_at).await
                }
                .boxed()
            })
            .await
    }

    /// Destroys what one of the steps from the key to the columns is about.
    pub(crate) async fn erase_rows(
        &self,
        resident: Uuid,
        step: Step,
        epoch: i64,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if !take(txn, resident, step).await? {
                        return Ok(());
                    }
                    let erased = erase(txn, resident, step).await?;
                    count(txn, resident, |counts| add(counts, &erased)).await?;
                    let (column, value) = match step {
                        Step::Key => (erasure::Column::Epoch, epoch),
                        Step::Columns => (erasure::Column::ErasedAt, to_micros(now)),
                        _ => return Ok(()),
                    };
                    erasure::Entity::update_many()
                        .col_expr(column, Expr::val(value))
                        .filter(erasure::Column::ResidentId.eq(resident))
                        .filter(column.is_null())
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn erasure_in_ledger(&self, resident: Uuid, number: u64) -> Result<(), Error> {
        let number = i64::try_from(number).map_err(|_| Error::Corrupt("ledger number"))?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if take(txn, resident, Step::Ledger).await? {
                        set(txn, resident, erasure::Column::LedgerNumber, number).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// This service's own receipt; of two that are given at once the first
    /// stays. One that says that it is final is the last.
    pub(crate) async fn erasure_receipted(
        &self,
        resident: Uuid,
        step: Step,
        receipt: GivenReceipt,
        final_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if !take(txn, resident, step).await? {
                        return Ok(());
                    }
                    let number = if step == Step::Receipt { 1 } else { 2 };
                    add_receipt(txn, resident, number, receipt).await?;
                    if let Some(at) = final_at {
                        set(txn, resident, erasure::Column::FinalAt, to_micros(at)).await?;
                        take(txn, resident, Step::Final).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// By resident; of each this service's own first, the oldest first.
    pub(crate) async fn erasure_receipts(
        &self,
        residents: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Vec<GivenReceipt>>, Error> {
        use erasure_receipt::Column;
        let rows = erasure_receipt::Entity::find()
            .filter(Column::ResidentId.is_in(residents))
            .order_by_asc(Column::Service)
            .order_by_asc(Column::Number)
            .all(&self.db.read)
            .await?;
        let mut receipts: HashMap<Uuid, Vec<GivenReceipt>> = HashMap::new();
        for row in rows {
            receipts
                .entry(row.resident_id)
                .or_default()
                .push(GivenReceipt {
                    service: row.service,
                    jws: row.receipt,
                });
        }
        Ok(receipts)
    }
}

fn new_row(resident: Uuid, pseudonym: Uuid, now: Timestamp) -> erasure::Model {
    erasure::Model {
        resident_id: resident,
        pseudonym,
        subject_id: None,
        step: Step::Rights.code(),
        reason: Reason::Unspecified.code(),
        requested_by: String::new(),
        replayed: false,
        begun_at: to_micros(now),
        erased_at: None,
        counts: "{}".into(),
        epoch: None,
        ledger_number: None,
        final_at: None,
        biometric_final_at: None,
    }
}

async fn insert(txn: &impl ConnectionTrait, row: erasure::Model) -> Result<Erasure, Error> {
    erasure::Entity::insert(erasure::ActiveModel::from(row.clone()))
        .exec_without_returning(txn)
        .await?;
    row.try_into()
}

async fn find(txn: &impl ConnectionTrait, resident: Uuid) -> Result<Option<Erasure>, Error> {
    let row = erasure::Entity::find_by_id(resident).one(txn).await?;
    row.map(Erasure::try_from).transpose()
}

async fn found(txn: &impl ConnectionTrait, resident: Uuid) -> Result<Erasure, Error> {
    find(txn, resident)
        .await?
        .ok_or(Error::NotFound(Noun::Erasure))
}

async fn end_rights(txn: &impl ConnectionTrait, resident: Uuid) -> Result<(), Error> {
    use entity::resident::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::Erasing, Expr::val(true))
        .filter(Column::Id.eq(resident))
        .exec(txn)
        .await?;
    Ok(())
}

/// True for whoever takes the step, which comes after the one before it.
async fn take(txn: &impl ConnectionTrait, resident: Uuid, step: Step) -> Result<bool, Error> {
    use erasure::{Column, Entity};
    let taken = Entity::update_many()
        .col_expr(Column::Step, Expr::val(step.code()))
        .filter(Column::ResidentId.eq(resident))
        .filter(Column::Step.eq(step.code() - 1))
        .exec(txn)
        .await?;
    Ok(taken.rows_affected > 0)
}

async fn set(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    column: erasure::Column,
    value: i64,
) -> Result<(), Error> {
    erasure::Entity::update_many()
        .col_expr(column, Expr::val(value))
        .filter(erasure::Column::ResidentId.eq(resident))
        .exec(txn)
        .await?;
    Ok(())
}

/// No longer needed once the biometric store has erased.
async fn forget_subject(txn: &impl ConnectionTrait, resident: Uuid) -> Result<(), Error> {
    use erasure::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::SubjectId, Expr::val(Option::<Uuid>::None))
        .filter(Column::ResidentId.eq(resident))
        .exec(txn)
        .await?;
    Ok(())
}

/// The first word that the biometric store's part is final.
async fn confirm(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    final_at: Option<Timestamp>,
) -> Result<(), Error> {
    use erasure::{Column, Entity};
    let Some(at) = final_at else {
        return Ok(());
    };
    Entity::update_many()
        .col_expr(Column::BiometricFinalAt, Expr::val(to_micros(at)))
        .filter(Column::ResidentId.eq(resident))
        .filter(Column::BiometricFinalAt.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

/// For whoever has taken a step, and so holds the row.
async fn count(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    change: impl FnOnce(&mut Counts) + Send,
) -> Result<(), Error> {
    let mut counts = found(txn, resident).await?.counts;
    change(&mut counts);
    let text = serde_json::to_string(&counts).map_err(|_| Error::Corrupt("erasure counts"))?;
    erasure::Entity::update_many()
        .col_expr(erasure::Column::Counts, Expr::val(text))
        .filter(erasure::Column::ResidentId.eq(resident))
        .exec(txn)
        .await?;
    Ok(())
}

fn add(sum: &mut Counts, more: &Counts) {
    sum.names += more.names;
    sum.partner_pseudonyms += more.partner_pseudonyms;
    sum.vehicles += more.vehicles;
    sum.credentials += more.credentials;
    sum.grants += more.grants;
    sum.subscriptions += more.subscriptions;
    sum.sites += more.sites;
    sum.events += more.events;
}

async fn erase(txn: &impl ConnectionTrait, resident: Uuid, step: Step) -> Result<Counts, Error> {
    use entity::{grant, holding, pseudonym, resident_site, subscription};
    let mut erased = Counts::default();
    match step {
        Step::Key => {
            let row = entity::resident::Entity::delete_by_id(resident);
            erased.names = row.exec(txn).await?.rows_affected;
        }
        Step::Tokens => {
            let rows =
                pseudonym::Entity::delete_many().filter(pseudonym::Column::ResidentId.eq(resident));
            erased.partner_pseudonyms = rows.exec(txn).await?.rows_affected;
        }
        Step::Vehicles => {
            let rows = holding::Entity::delete_many()
                .filter(holding::Column::ResidentId.eq(resident))
                .filter(holding::Column::Kind.eq(HoldingKind::Vehicle.code()));
            erased.vehicles = rows.exec(txn).await?.rows_affected;
        }
        Step::Credentials => {
            let rows =
                holding::Entity::delete_many().filter(holding::Column::ResidentId.eq(resident));
            erased.credentials = rows.exec(txn).await?.rows_affected;
        }
        Step::Columns => {
            let rows = grant::Entity::delete_many().filter(grant::Column::ResidentId.eq(resident));
            erased.grants = rows.exec(txn).await?.rows_affected;
            let rows = subscription::Entity::delete_many()
                .filter(subscription::Column::ResidentId.eq(resident));
            erased.subscriptions = rows.exec(txn).await?.rows_affected;
            let rows = resident_site::Entity::delete_many()
                .filter(resident_site::Column::ResidentId.eq(resident));
            erased.sites = rows.exec(txn).await?.rows_affected;
            erased.events = forget_person(txn, resident).await?;
        }
        Step::Rights | Step::Biometrics | Step::Ledger | Step::Receipt | Step::Final => {}
    }
    Ok(erased)
}

/// Numbered in their order; those that are there already stay.
async fn add_receipts(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    receipts: Vec<GivenReceipt>,
) -> Result<(), Error> {
    for (number, receipt) in (1..).zip(receipts) {
        add_receipt(txn, resident, number, receipt).await?;
    }
    Ok(())
}

async fn add_receipt(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    number: i16,
    receipt: GivenReceipt,
) -> Result<(), Error> {
    use erasure_receipt::{ActiveModel, Column, Entity};
    Entity::insert(ActiveModel {
        resident_id: Set(resident),
        service: Set(receipt.service),
        number: Set(number),
        receipt: Set(receipt.jws),
    })
    .on_conflict(
        OnConflict::columns([Column::ResidentId, Column::Service, Column::Number])
            .do_nothing()
            .to_owned(),
    )
    .exec_without_returning(txn)
    .await?;
    Ok(())
}
