//! What became of commands, those of about the same time in one transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use audit_log::Entry;
use futures::FutureExt;
use mesh::{
    db::{Db, is_postgres},
    gather::Gatherer,
};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use crate::{
    domain::opening::{CommandStatus, Opening},
    error::{Error, Noun},
    store::{NewEntry, Store, each_for_itself, entity, log},
};

/// What comes while one group is written makes the next.
const GROUPS: usize = 1;
const TOGETHER: usize = 64;

pub(in crate::store) struct Outcome {
    opening: Uuid,
    status: CommandStatus,
    telling: NewEntry,
}

type Row = entity::opening::Model;

pub(in crate::store) type Outcomes = Gatherer<Outcome, Result<Option<Row>, Error>>;

pub(in crate::store) fn outcomes(db: Db) -> Outcomes {
    Gatherer::start(GROUPS, TOGETHER, move |group: Vec<Outcome>| {
        let db = db.clone();
        let all = move |group: Vec<Arc<Outcome>>| record_all(db.clone(), group);
        each_for_itself(group, all).boxed()
    })
}

impl Store {
    /// Records an outcome, unless the partner's confirmation came first, and
    /// that this is the answer, unless one was given before.
    pub(crate) async fn record_outcome(
        &self,
        opening: Uuid,
        status: CommandStatus,
        telling: Entry,
    ) -> Result<Opening, Error> {
        let outcome = Outcome {
            opening,
            status,
            telling: self.new_entry(telling, None)?,
        };
        let row = self.outcomes.submit(outcome).await;
        let row = row.unwrap_or(Err(Error::GivenUp))?;
        row.ok_or(Error::NotFound(Noun::Opening))?.try_into()
    }
}

/// The rows as they are then, in the order of the outcomes.
async fn record_all(db: Db, group: Vec<Arc<Outcome>>) -> Result<Vec<Option<Row>>, Error> {
    db.writer
        .write(move |txn| {
            async move {
                let mut rows = record_pending(txn, &group).await?;
                // Of one that a confirmation was faster than, the log has heard.
                let mut untold: HashSet<Uuid> = rows.keys().copied().collect();
                let tellings = group
                    .iter()
                    .filter(|one| untold.remove(&one.opening))
                    .map(|one| one.telling.clone())
                    .collect();
                log::insert(txn, tellings).await?;
                let others: HashSet<Uuid> = group
                    .iter()
                    .map(|one| one.opening)
                    .filter(|id| !rows.contains_key(id))
                    .collect();
                if !others.is_empty() {
                    rows.extend(answer_as_they_are(txn, others).await?);
                }
                Ok(group
                    .iter()
                    .map(|one| rows.get(&one.opening).cloned())
                    .collect())
            }
            .boxed()
        })
        .await
}

/// The first outcome of each whose command is pending, and that it is the
/// answer.
async fn record_pending(
    txn: &DatabaseTransaction,
    group: &[Arc<Outcome>],
) -> Result<HashMap<Uuid, Row>, DbErr> {
    use entity::opening::{Column, Entity};
    let mut first = HashSet::new();
    let mut of_status: HashMap<i16, Vec<Uuid>> = HashMap::new();
    for one in group {
        if first.insert(one.opening) {
            let ids = of_status.entry(one.status.code()).or_default();
            ids.push(one.opening);
        }
    }
    if first.len() > 1 && is_postgres(txn) {
        // One order everywhere, or two replicas lock each other out.
        Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Id.is_in(first))
            .order_by_asc(Column::Id)
            .lock(LockType::NoKeyUpdate)
            .into_tuple::<Uuid>()
            .all(txn)
            .await?;
    }
    let mut rows = HashMap::new();
    for (status, ids) in of_status {
        let updated = Entity::update_many()
            .col_expr(Column::CommandStatus, Expr::value(status))
            .col_expr(Column::AnsweredStatus, Expr::value(status))
            .col_expr(Column::Number, Expr::value(0_i64))
            .filter(Column::Id.is_in(ids))
            .filter(Column::CommandStatus.eq(CommandStatus::Pending.code()))
            .filter(Column::AnsweredStatus.eq(0_i16))
            .exec_with_returning(txn)
            .await?;
        rows.extend(updated.into_iter().map(|row| (row.id, row)));
    }
    Ok(rows)
}

/// What is known of these commands is the answer, unless one was given before.
async fn answer_as_they_are(
    txn: &DatabaseTransaction,
    ids: HashSet<Uuid>,
) -> Result<HashMap<Uuid, Row>, DbErr> {
    use entity::opening::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::AnsweredStatus, Expr::col(Column::CommandStatus))
        .col_expr(Column::Number, Expr::value(0_i64))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::AnsweredStatus.eq(0_i16))
        .exec(txn)
        .await?;
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids))
        .all(txn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
