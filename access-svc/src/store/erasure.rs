//! Erasures, each at its step. Whoever takes a step holds the row until the
//! commit, so that it is taken once, whichever replica tries.

mod read;
mod rows;
#[cfg(test)]
mod tests;

use audit_log::{Entry as Telling, Kind};
use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    custody::ledger::Entry,
};
use sea_orm::{DatabaseTransaction, EntityTrait, QuerySelect};
use uuid::Uuid;

use self::rows::{
    add_receipt, add_receipts, confirm, count, end_rights, erase, find, forget_subject, found,
    insert, new_row, set, set_once, take,
};
use super::{
    Resident, Store,
    entity::{self, erasure},
    log,
};
use crate::{
    domain::{
        entry::act,
        erasure::{Counts, Erasure, GivenReceipt, Order, Reason, Step},
    },
    error::Error,
};

/// Of a ledger that knows more than a restored store.
const REPLAYED: &str = "replayed";
/// No copy of a template is left anywhere.
const BIOMETRICS_FINAL: &str = "biometrics_final";

/// Whose erasure is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Whom {
    Pseudonym(Uuid),
    Resident(Uuid),
}

/// Who is to be erased.
#[derive(Clone, Copy)]
enum Of {
    Anybody,
    EndedGuest,
}

impl Of {
    fn includes(self, row: &entity::resident::Model, now: Timestamp) -> bool {
        match self {
            Self::Anybody => true,
            Self::EndedGuest => !Resident::from(row).is_here(now),
        }
    }
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
        self.begin(resident, order, now, Of::Anybody).await
    }

    /// None where the guest's end has been moved meanwhile.
    pub(crate) async fn begin_guests_erasure(
        &self,
        guest: Uuid,
        order: Order,
        now: Timestamp,
    ) -> Result<Option<Erasure>, Error> {
        self.begin(guest, order, now, Of::EndedGuest).await
    }

    async fn begin(
        &self,
        resident: Uuid,
        order: Order,
        now: Timestamp,
        of: Of,
    ) -> Result<Option<Erasure>, Error> {
        let store = self.clone();
        let telling = telling(Step::Rights.told(), now);
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
                    let Some(row) = row.filter(|row| of.includes(row, now)) else {
                        return Ok(None);
                    };
                    end_rights(txn, resident).await?;
                    tell(&store, txn, row.audit_pseudonym, telling).await?;
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
        let store = self.clone();
        let telling = telling(REPLAYED, now);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use erasure::Column;
                    let resident = entry.id;
                    let known = find(txn, resident).await?;
                    if known
                        .as_ref()
                        .is_some_and(|known| known.step >= Step::Columns)
                    {
                        return Ok(());
                    }
                    end_rights(txn, resident).await?;
                    tell(&store, txn, entry.pseudonym, telling).await?;
                    if known.is_none() {
                        insert(txn, new_row(resident, entry.pseudonym, now)).await?;
                    }
                    set(txn, resident, Column::Replayed, true).await?;
                    set(txn, resident, Column::ErasedAt, to_micros(entry.at)).await?;
                    take(txn, resident, Step::Biometrics).await?;
                    forget_subject(txn, resident).await
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn biometrics_erased(
        &self,
        resident: Uuid,
        templates: u32,
        receipt: Option<GivenReceipt>,
        final_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let store = self.clone();
        let erased_telling = telling(Step::Biometrics.told(), now);
        let final_telling = telling(BIOMETRICS_FINAL, now);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if !take(txn, resident, Step::Biometrics).await? {
                        return Ok(());
                    }
                    forget_subject(txn, resident).await?;
                    let erased = Counts {
                        templates,
                        ..Counts::default()
                    };
                    count(txn, resident, &erased).await?;
                    add_receipts(txn, resident, receipt.into_iter().collect()).await?;
                    let who = found(txn, resident).await?.pseudonym;
                    tell(&store, txn, who, erased_telling).await?;
                    if confirm(txn, resident, final_at).await? {
                        tell(&store, txn, who, final_telling).await?;
                    }
                    Ok(())
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
        now: Timestamp,
    ) -> Result<(), Error> {
        let store = self.clone();
        let telling = telling(BIOMETRICS_FINAL, now);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    add_receipts(txn, resident, receipts).await?;
                    if confirm(txn, resident, final_at).await? {
                        let who = found(txn, resident).await?.pseudonym;
                        tell(&store, txn, who, telling).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Destroys what one of the steps from the key to the columns is about; with
    /// the columns the links of the audit log.
    pub(crate) async fn erase_rows(
        &self,
        resident: Uuid,
        step: Step,
        epoch: i64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let store = self.clone();
        let telling = telling(step.told(), now);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if !take(txn, resident, step).await? {
                        return Ok(());
                    }
                    let erased = erase(txn, resident, step).await?;
                    count(txn, resident, &erased).await?;
                    let who = found(txn, resident).await?.pseudonym;
                    if step == Step::Columns {
                        log::unlink(txn, who).await?;
                    }
                    tell(&store, txn, who, telling).await?;
                    let (column, value) = match step {
                        Step::Key => (erasure::Column::Epoch, epoch),
                        Step::Columns => (erasure::Column::ErasedAt, to_micros(now)),
                        _ => return Ok(()),
                    };
                    set_once(txn, resident, column, value).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn erasure_in_ledger(
        &self,
        resident: Uuid,
        number: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let number = i64::try_from(number).map_err(|_| Error::Corrupt("ledger number"))?;
        let store = self.clone();
        let telling = telling(Step::Ledger.told(), now);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if take(txn, resident, Step::Ledger).await? {
                        set(txn, resident, erasure::Column::LedgerNumber, number).await?;
                        let who = found(txn, resident).await?.pseudonym;
                        tell(&store, txn, who, telling).await?;
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
        now: Timestamp,
    ) -> Result<(), Error> {
        let store = self.clone();
        let step_telling = telling(step.told(), now);
        let final_telling = telling(Step::Final.told(), now);
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if !take(txn, resident, step).await? {
                        return Ok(());
                    }
                    let number = if step == Step::Receipt { 1 } else { 2 };
                    add_receipt(txn, resident, number, receipt).await?;
                    let who = found(txn, resident).await?.pseudonym;
                    tell(&store, txn, who, step_telling).await?;
                    if let Some(at) = final_at {
                        set(txn, resident, erasure::Column::FinalAt, to_micros(at)).await?;
                        if take(txn, resident, Step::Final).await? {
                            tell(&store, txn, who, final_telling).await?;
                        }
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

/// What the audit log says of a step; of whom, it learns in the commit.
fn telling(code: &str, at: Timestamp) -> Telling {
    act(Kind::Erasure, code, at)
}

async fn tell(
    store: &Store,
    txn: &DatabaseTransaction,
    who: Uuid,
    telling: Telling,
) -> Result<(), Error> {
    let telling = Telling {
        who: Some(who),
        ..telling
    };
    log::insert(txn, vec![store.new_entry(telling, None)?]).await?;
    Ok(())
}
