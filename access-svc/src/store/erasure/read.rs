//! Erasures as they are told of, and those that are to be gone on with.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::ExprTrait,
};
use uuid::Uuid;

use super::Whom;
use crate::{
    domain::erasure::{Erasure, GivenReceipt, Step},
    error::{Error, Noun},
    store::{
        Page, Store,
        entity::{erasure, erasure_receipt},
    },
};

impl Store {
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

    /// The newest first; those of one moment by resident. After that of the resident given.
    pub(crate) async fn list_erasures(
        &self,
        only_unfinished: bool,
        page: Page,
    ) -> Result<Vec<Erasure>, Error> {
        use erasure::Column;
        let mut query = erasure::Entity::find()
            .order_by_desc(Column::BegunAt)
            .order_by_desc(Column::ResidentId);
        if only_unfinished {
            let here = Column::Step.ne(Step::Final.code());
            query = query.filter(here.or(Column::BiometricFinalAt.is_null()));
        }
        if let Some(after) = page.after {
            let last = erasure::Entity::find_by_id(after)
                .one(&self.db.read)
                .await?
                .ok_or(Error::NotFound(Noun::Erasure))?;
            let beside = Column::BegunAt
                .eq(last.begun_at)
                .and(Column::ResidentId.lt(after));
            query = query.filter(Column::BegunAt.lt(last.begun_at).or(beside));
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
