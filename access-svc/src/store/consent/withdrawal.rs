//! Withdrawals: the person goes on under another subject, and the old one is erased for good.

use std::collections::{HashMap, HashSet};

use audit_log::Entry;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use crate::{
    domain::erasure::{Order, Reason},
    error::Error,
    store::{
        Store,
        entity::{consent, resident, withdrawal},
        log,
        resident::held,
    },
};

#[derive(Clone, Debug)]
pub(crate) struct Withdrawal {
    pub(crate) id: Uuid,
    pub(crate) resident: Uuid,
    /// As the audit log and receipts name the person.
    pub(crate) pseudonym: Uuid,
    /// As the biometric store knew the person, until it has erased them.
    pub(crate) subject: Option<Uuid>,
    /// Who asked for it, as the audit log names them; empty of an older release's.
    pub(crate) withdrawn_by: String,
    pub(crate) withdrawn_at: Timestamp,
    pub(crate) erased_at: Option<Timestamp>,
    /// The biometric store's, compact JWS each.
    pub(crate) receipts: Vec<String>,
}

impl Withdrawal {
    /// What the biometric store is told of it.
    pub(crate) fn order(&self) -> Order {
        Order {
            reason: Reason::ConsentWithdrawn,
            requested_by: self.withdrawn_by.clone(),
        }
    }
}

impl TryFrom<withdrawal::Model> for Withdrawal {
    type Error = Error;

    fn try_from(row: withdrawal::Model) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            resident: row.resident_id,
            pseudonym: row.audit_pseudonym,
            subject: row.subject_id,
            withdrawn_by: row.withdrawn_by,
            withdrawn_at: from_micros(row.withdrawn_at),
            erased_at: row.erased_at.map(from_micros),
            receipts: serde_json::from_str(&row.receipts)
                .map_err(|_| Error::Corrupt("withdrawal receipts"))?,
        })
    }
}

impl Store {
    /// Ends every consent: from here on the face opens nothing. Without one to end it is the last
    /// withdrawal again, if there was any.
    pub(crate) async fn withdraw_consents(
        &self,
        id: Uuid,
        now: Timestamp,
        telling: Entry,
    ) -> Result<Withdrawal, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let person = held(txn, id).await?;
                    let new = Uuid::now_v7();
                    let ended = consent::Entity::update_many()
                        .col_expr(consent::Column::WithdrawalId, Expr::value(Some(new)))
                        .filter(consent::Column::ResidentId.eq(id))
                        .filter(consent::Column::WithdrawalId.is_null())
                        .exec(txn)
                        .await?;
                    if ended.rows_affected == 0
                        && let Some(last) = newest(txn, id).await?
                    {
                        return Withdrawal::try_from(last);
                    }
                    let row = withdrawal::Model {
                        id: new,
                        resident_id: id,
                        audit_pseudonym: person.audit_pseudonym,
                        subject_id: Some(person.subject_id),
                        withdrawn_by: telling.actor.clone().unwrap_or_default(),
                        withdrawn_at: to_micros(now),
                        erased_at: None,
                        receipts: "[]".into(),
                    };
                    withdrawal::Entity::insert(withdrawal::ActiveModel::from(row.clone()))
                        .exec_without_returning(txn)
                        .await?;
                    resident::Entity::update_many()
                        .col_expr(resident::Column::SubjectId, Expr::value(Uuid::new_v4()))
                        .col_expr(
                            resident::Column::Version,
                            Expr::col(resident::Column::Version).add(1),
                        )
                        .filter(resident::Column::Id.eq(id))
                        .exec(txn)
                        .await?;
                    let telling = Entry {
                        who: Some(person.audit_pseudonym),
                        subject: Some(new.to_string()),
                        ..telling
                    };
                    log::insert(txn, vec![store.new_entry(telling, None)?]).await?;
                    Withdrawal::try_from(row)
                }
                .boxed()
            })
            .await
    }

    /// When the resident last withdrew.
    pub(crate) async fn last_withdrawal(&self, resident: Uuid) -> Result<Option<Timestamp>, Error> {
        last_of(&self.db.read, resident).await
    }

    pub(super) async fn withdrawals(
        &self,
        ids: HashSet<Uuid>,
    ) -> Result<HashMap<Uuid, Withdrawal>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = withdrawal::Entity::find()
            .filter(withdrawal::Column::Id.is_in(ids))
            .all(&self.db.read)
            .await?;
        rows.into_iter()
            .map(|row| Ok((row.id, Withdrawal::try_from(row)?)))
            .collect()
    }

    /// Those of which the biometric store has yet to erase the templates; of one resident, or all.
    pub(crate) async fn unfinished_withdrawals(
        &self,
        resident: Option<Uuid>,
    ) -> Result<Vec<Withdrawal>, Error> {
        let mut query = withdrawal::Entity::find()
            .filter(withdrawal::Column::ErasedAt.is_null())
            .order_by_asc(withdrawal::Column::Id);
        if let Some(resident) = resident {
            query = query.filter(withdrawal::Column::ResidentId.eq(resident));
        }
        let rows = query.all(&self.db.read).await?;
        rows.into_iter().map(Withdrawal::try_from).collect()
    }

    /// The biometric store has erased the templates. Of a resident who is gone nothing stays.
    pub(crate) async fn templates_erased(
        &self,
        done: Withdrawal,
        receipts: &[String],
        now: Timestamp,
        telling: Entry,
    ) -> Result<(), Error> {
        let receipts =
            serde_json::to_string(receipts).map_err(|_| Error::Corrupt("withdrawal receipts"))?;
        let telling = Entry {
            who: Some(done.pseudonym),
            subject: Some(done.id.to_string()),
            ..telling
        };
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use withdrawal::{Column, Entity};
                    let finished = Entity::update_many()
                        .col_expr(Column::SubjectId, Expr::value(None::<Uuid>))
                        .col_expr(Column::ErasedAt, Expr::value(Some(to_micros(now))))
                        .col_expr(Column::Receipts, Expr::value(receipts))
                        .filter(Column::Id.eq(done.id))
                        .filter(Column::ErasedAt.is_null())
                        .exec(txn)
                        .await?;
                    if finished.rows_affected == 0 {
                        return Ok(());
                    }
                    log::insert(txn, vec![telling]).await?;
                    let person = resident::Entity::find_by_id(done.resident).one(txn).await?;
                    if person.is_none() {
                        Entity::delete_by_id(done.id).exec(txn).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

async fn newest(
    txn: &impl ConnectionTrait,
    resident: Uuid,
) -> Result<Option<withdrawal::Model>, Error> {
    Ok(withdrawal::Entity::find()
        .filter(withdrawal::Column::ResidentId.eq(resident))
        .order_by_desc(withdrawal::Column::WithdrawnAt)
        .one(txn)
        .await?)
}

/// When the resident last withdrew.
pub(super) async fn last_of(
    txn: &impl ConnectionTrait,
    resident: Uuid,
) -> Result<Option<Timestamp>, Error> {
    let last = newest(txn, resident).await?;
    Ok(last.map(|row| from_micros(row.withdrawn_at)))
}
