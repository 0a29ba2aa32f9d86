//! What the steps of an erasure do to rows, inside somebody's transaction.

use jiff::Timestamp;
use mesh::clock::to_micros;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Value,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use crate::{
    domain::{
        erasure::{Counts, Erasure, GivenReceipt, Reason, Step},
        event::HoldingKind,
    },
    error::{Error, Noun},
    store::{
        entity::{self, erasure, erasure_receipt},
        event::forget_person,
        external_id,
    },
};

pub(super) fn new_row(resident: Uuid, pseudonym: Uuid, now: Timestamp) -> erasure::Model {
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

pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    row: erasure::Model,
) -> Result<Erasure, Error> {
    erasure::Entity::insert(erasure::ActiveModel::from(row.clone()))
        .exec_without_returning(txn)
        .await?;
    row.try_into()
}

pub(super) async fn find(
    txn: &impl ConnectionTrait,
    resident: Uuid,
) -> Result<Option<Erasure>, Error> {
    let row = erasure::Entity::find_by_id(resident).one(txn).await?;
    row.map(Erasure::try_from).transpose()
}

pub(super) async fn found(txn: &impl ConnectionTrait, resident: Uuid) -> Result<Erasure, Error> {
    find(txn, resident)
        .await?
        .ok_or(Error::NotFound(Noun::Erasure))
}

pub(super) async fn end_rights(txn: &impl ConnectionTrait, resident: Uuid) -> Result<(), Error> {
    use entity::resident::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::Erasing, Expr::val(true))
        .filter(Column::Id.eq(resident))
        .exec(txn)
        .await?;
    Ok(())
}

/// True for whoever takes the step, which comes after the one before it.
pub(super) async fn take(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    step: Step,
) -> Result<bool, Error> {
    use erasure::{Column, Entity};
    let taken = Entity::update_many()
        .col_expr(Column::Step, Expr::val(step.code()))
        .filter(Column::ResidentId.eq(resident))
        .filter(Column::Step.eq(step.code() - 1))
        .exec(txn)
        .await?;
    Ok(taken.rows_affected > 0)
}

pub(super) async fn set(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    column: erasure::Column,
    value: impl Into<Value>,
) -> Result<(), Error> {
    erasure::Entity::update_many()
        .col_expr(column, Expr::val(value))
        .filter(erasure::Column::ResidentId.eq(resident))
        .exec(txn)
        .await?;
    Ok(())
}

/// What is known already stays; whether it was not.
pub(super) async fn set_once(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    column: erasure::Column,
    value: i64,
) -> Result<bool, Error> {
    let done = erasure::Entity::update_many()
        .col_expr(column, Expr::val(value))
        .filter(erasure::Column::ResidentId.eq(resident))
        .filter(column.is_null())
        .exec(txn)
        .await?;
    Ok(done.rows_affected > 0)
}

/// No longer needed once the biometric store has erased.
pub(super) async fn forget_subject(
    txn: &impl ConnectionTrait,
    resident: Uuid,
) -> Result<(), Error> {
    let column = erasure::Column::SubjectId;
    set(txn, resident, column, Option::<Uuid>::None).await
}

/// The first word that the biometric store's part is final; whether it is.
pub(super) async fn confirm(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    final_at: Option<Timestamp>,
) -> Result<bool, Error> {
    let Some(at) = final_at else {
        return Ok(false);
    };
    let column = erasure::Column::BiometricFinalAt;
    set_once(txn, resident, column, to_micros(at)).await
}

/// Adds to what was counted. For whoever has taken a step, and so holds the
/// row.
pub(super) async fn count(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    erased: &Counts,
) -> Result<(), Error> {
    let mut counts = found(txn, resident).await?.counts;
    counts.add(erased);
    let text = serde_json::to_string(&counts).map_err(|_| Error::Corrupt("erasure counts"))?;
    set(txn, resident, erasure::Column::Counts, text).await
}

pub(super) async fn erase(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    step: Step,
) -> Result<Counts, Error> {
    use entity::{grant, holding, pseudonym};
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
            erased.add(&erase_registered(txn, resident).await?);
            erased.events = forget_person(txn, resident).await?;
        }
        Step::Rights | Step::Biometrics | Step::Ledger | Step::Receipt | Step::Final => {}
    }
    Ok(erased)
}

/// Where the person lived and was recognised, what was consented to, and other systems' names.
async fn erase_registered(txn: &impl ConnectionTrait, resident: Uuid) -> Result<Counts, Error> {
    use entity::{consent, household_member, resident_site, withdrawal};
    let mut erased = Counts::default();
    let rows =
        resident_site::Entity::delete_many().filter(resident_site::Column::ResidentId.eq(resident));
    erased.sites = rows.exec(txn).await?.rows_affected;
    let rows = household_member::Entity::delete_many()
        .filter(household_member::Column::ResidentId.eq(resident));
    erased.households = rows.exec(txn).await?.rows_affected;
    let rows = consent::Entity::delete_many().filter(consent::Column::ResidentId.eq(resident));
    erased.consents = rows.exec(txn).await?.rows_affected;
    withdrawal::Entity::delete_many()
        .filter(withdrawal::Column::ResidentId.eq(resident))
        // One that is unfinished says whom the biometric store has yet to erase.
        .filter(withdrawal::Column::ErasedAt.is_not_null())
        .exec(txn)
        .await?;
    erased.external_ids = external_id::forget_owned(txn, resident).await?;
    Ok(erased)
}

/// Numbered in their order; those that are there already stay.
pub(super) async fn add_receipts(
    txn: &impl ConnectionTrait,
    resident: Uuid,
    receipts: Vec<GivenReceipt>,
) -> Result<(), Error> {
    for (number, receipt) in (1..).zip(receipts) {
        add_receipt(txn, resident, number, receipt).await?;
    }
    Ok(())
}

pub(super) async fn add_receipt(
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
