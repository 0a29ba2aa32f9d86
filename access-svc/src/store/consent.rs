#[cfg(test)]
mod tests;
mod withdrawal;

use std::collections::{HashMap, HashSet};

use audit_log::Entry;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::{from_micros, to_micros},
    crypto::Key,
};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;
pub(crate) use withdrawal::Withdrawal;
use zeroize::Zeroizing;

use super::{
    Page, Resident, Store, context,
    entity::{self, consent},
    log,
    resident::{held, settle, sites_of, there},
};
use crate::{domain::consent::check_given_since, error::Error};

const REFERENCE: &str = "consent reference";

pub(crate) struct Consent {
    pub(crate) id: Uuid,
    pub(crate) resident: Uuid,
    /// Where it was asked for.
    pub(crate) reference: Option<Zeroizing<String>>,
    pub(crate) consented_at: Timestamp,
    pub(crate) withdrawal: Option<Withdrawal>,
}

pub(crate) struct NewConsent {
    pub(crate) resident: Uuid,
    pub(crate) reference: Zeroizing<String>,
    pub(crate) consented_at: Timestamp,
}

/// What was faster than an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outrun {
    Erased,
    Withdrawn,
}

impl Store {
    /// One that is known is given as it is; none that was withdrawn becomes valid by that.
    pub(crate) async fn record_consent(
        &self,
        new: NewConsent,
        now: Timestamp,
        telling: Entry,
    ) -> Result<Uuid, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let resident = held(txn, new.resident).await?;
                    let consent = store.record(txn, &resident, &new, now, telling).await?;
                    Ok(consent.id)
                }
                .boxed()
            })
            .await
    }

    async fn record(
        &self,
        txn: &DatabaseTransaction,
        resident: &entity::resident::Model,
        new: &NewConsent,
        now: Timestamp,
        telling: Entry,
    ) -> Result<consent::Model, Error> {
        let key = self.unwrap(resident.epoch, &resident.wrapped_key, resident.id)?;
        let known = consent::Entity::find()
            .filter(consent::Column::ResidentId.eq(resident.id))
            .filter(consent::Column::ConsentedAt.eq(to_micros(new.consented_at)))
            .all(txn)
            .await?;
        for row in known {
            if *open(&key, &row)? == *new.reference {
                return Ok(row);
            }
        }
        check_given_since(
            new.consented_at,
            withdrawal::last_of(txn, resident.id).await?,
        )?;
        let id = Uuid::now_v7();
        let row = consent::Model {
            id,
            resident_id: resident.id,
            reference_sealed: key.seal(new.reference.as_bytes(), &context(REFERENCE, id))?,
            consented_at: to_micros(new.consented_at),
            withdrawal_id: None,
            created_at: to_micros(now),
        };
        consent::Entity::insert(consent::ActiveModel::from(row.clone()))
            .exec_without_returning(txn)
            .await?;
        let telling = Entry {
            who: Some(resident.audit_pseudonym),
            subject: Some(id.to_string()),
            ..telling
        };
        log::insert(txn, vec![self.new_entry(telling, None)?]).await?;
        Ok(row)
    }

    /// The resident as it is enrolled, and where. From here on the biometric store is told of the
    /// sites again unless the enrolment is seen to end.
    pub(crate) async fn begin_enrolment(
        &self,
        consent: NewConsent,
        now: Timestamp,
        recorded: Entry,
        begun: Entry,
    ) -> Result<(Resident, Vec<Uuid>), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let row = held(txn, consent.resident).await?;
                    let given = store.record(txn, &row, &consent, now, recorded).await?;
                    if given.withdrawal_id.is_some() {
                        return Err(Error::ConsentWithdrawn);
                    }
                    settle(txn, row.id, None).await?;
                    let begun = Entry {
                        who: Some(row.audit_pseudonym),
                        ..begun
                    };
                    log::insert(txn, vec![store.new_entry(begun, None)?]).await?;
                    let sites = sites_of(txn, vec![row.id]).await?.remove(&row.id);
                    Ok((Resident::from(&row), sites.unwrap_or_default()))
                }
                .boxed()
            })
            .await
    }

    /// Tells of an enrolment unless something was faster, whose template is to go.
    pub(crate) async fn end_enrolment(
        &self,
        enrolled: Resident,
        telling: Entry,
    ) -> Result<Option<Outrun>, Error> {
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let row = there()
                        .filter(entity::resident::Column::Id.eq(enrolled.id))
                        .lock_exclusive()
                        .one(txn)
                        .await?;
                    match row {
                        None => return Ok(Some(Outrun::Erased)),
                        Some(row) if row.subject_id != enrolled.subject => {
                            return Ok(Some(Outrun::Withdrawn));
                        }
                        Some(_) => {}
                    }
                    settle(txn, enrolled.id, Some(enrolled.version)).await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(None)
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn consent(
        &self,
        id: Uuid,
        with_reference: bool,
    ) -> Result<Option<Consent>, Error> {
        let rows = consent::Entity::find_by_id(id).all(&self.db.read).await?;
        Ok(self.consents(rows, with_reference).await?.pop())
    }

    pub(crate) async fn list_consents(
        &self,
        resident: Option<Uuid>,
        page: Page,
        with_references: bool,
    ) -> Result<Vec<Consent>, Error> {
        use consent::Column;
        let mut query = consent::Entity::find().order_by_asc(Column::Id);
        if let Some(resident) = resident {
            query = query.filter(Column::ResidentId.eq(resident));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        self.consents(rows, with_references).await
    }

    pub(crate) async fn consents_withdrawn_by(
        &self,
        withdrawal: Uuid,
        with_references: bool,
    ) -> Result<Vec<Consent>, Error> {
        let rows = consent::Entity::find()
            .filter(consent::Column::WithdrawalId.eq(withdrawal))
            .order_by_asc(consent::Column::Id)
            .all(&self.db.read)
            .await?;
        self.consents(rows, with_references).await
    }

    async fn consents(
        &self,
        rows: Vec<consent::Model>,
        with_references: bool,
    ) -> Result<Vec<Consent>, Error> {
        let ids: HashSet<Uuid> = rows.iter().filter_map(|row| row.withdrawal_id).collect();
        let withdrawals = self.withdrawals(ids).await?;
        let keys = if with_references {
            let owners: HashSet<Uuid> = rows.iter().map(|row| row.resident_id).collect();
            self.resident_keys(owners.into_iter().collect()).await?
        } else {
            HashMap::new()
        };
        rows.into_iter()
            .map(|row| {
                // Whose key is gone is being erased.
                let key = keys.get(&row.resident_id);
                Ok(Consent {
                    id: row.id,
                    resident: row.resident_id,
                    reference: key.map(|key| open(&key.0, &row)).transpose()?,
                    consented_at: from_micros(row.consented_at),
                    withdrawal: row
                        .withdrawal_id
                        .and_then(|id| withdrawals.get(&id).cloned()),
                })
            })
            .collect()
    }
}

fn open(key: &Key, row: &consent::Model) -> Result<Zeroizing<String>, Error> {
    let plain = key.open(&row.reference_sealed, &context(REFERENCE, row.id))?;
    std::str::from_utf8(&plain)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| Error::Corrupt("consent reference"))
}
