use audit_log::Entry;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{NewEntry, Page, Store, entity, log};
use crate::{
    domain::{
        device::{DeviceKind, Means},
        entry::outcome,
        opening::{Command, CommandStatus, Opening},
    },
    error::{Error, Noun},
};

/// Lost commands given up in one transaction.
const GIVEN_UP_TOGETHER: u64 = 200;

/// A request's idempotency key and its body, both as MACs.
#[derive(Clone)]
pub(crate) struct Idempotency {
    pub(crate) key: Vec<u8>,
    pub(crate) fingerprint: Vec<u8>,
}

/// A decision to be made durable with everything that it uses up.
pub(crate) struct Commit {
    pub(crate) opening: Opening,
    pub(crate) idempotency: Option<Idempotency>,
    /// What must not be used again: a token's `jti` or a probe's evidence.
    pub(crate) use_key: Option<String>,
    /// What the audit log says of it.
    pub(crate) entry: NewEntry,
}

/// How a commit ended; in all but the first nothing was stored.
pub(crate) enum Committed {
    Stored,
    SameKey,
    Used(Uuid),
}

impl TryFrom<entity::opening::Model> for Opening {
    type Error = Error;

    fn try_from(row: entity::opening::Model) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            partner: row.partner_id,
            site: row.site_id,
            device_id: row.device_id,
            kind: DeviceKind::from_code(row.kind),
            client_id: row.client_id,
            means: if row.means == 2 {
                Means::Plate
            } else {
                Means::Face
            },
            audit_pseudonym: row.audit_pseudonym,
            denial_code: row.denial_code,
            checks: serde_json::from_str(&row.checks).map_err(|_| Error::Corrupt("checks"))?,
            command: row.command_id.map(|id| Command {
                id,
                status: CommandStatus::from_code(row.command_status),
                answered: (row.answered_status != 0)
                    .then(|| CommandStatus::from_code(row.answered_status)),
                expires_at: from_micros(row.expires_at),
            }),
            decided_at: from_micros(row.decided_at),
        })
    }
}

fn model(opening: Opening) -> Result<entity::opening::Model, Error> {
    Ok(entity::opening::Model {
        id: opening.id,
        partner_id: opening.partner,
        site_id: opening.site,
        device_id: opening.device_id,
        kind: opening.kind.code(),
        client_id: opening.client_id,
        means: match opening.means {
            Means::Face => 1,
            Means::Plate => 2,
        },
        audit_pseudonym: opening.audit_pseudonym,
        denial_code: opening.denial_code,
        checks: serde_json::to_string(&opening.checks).map_err(|_| Error::Corrupt("checks"))?,
        decided_at: to_micros(opening.decided_at),
        command_id: opening.command.as_ref().map(|c| c.id),
        command_status: opening.command.as_ref().map_or(0, |c| c.status.code()),
        answered_status: 0,
        expires_at: opening
            .command
            .as_ref()
            .map_or(0, |c| to_micros(c.expires_at)),
        number: 0,
    })
}

impl Store {
    /// Makes a decision durable, and marks what it uses in the same commit.
    pub(crate) async fn commit_opening(&self, commit: Commit) -> Result<Committed, Error> {
        let row = model(commit.opening)?;
        let result = self
            .db
            .writer
            .write(move |txn| {
                async move {
                    let at = row.decided_at;
                    if let Some(idempotency) = commit.idempotency {
                        mark_key(txn, idempotency, row.id, at).await?;
                    }
                    if let Some(use_key) = commit.use_key {
                        mark_used(txn, use_key, row.id, at).await?;
                    }
                    entity::opening::Entity::insert(entity::opening::ActiveModel::from(row))
                        .exec_without_returning(txn)
                        .await?;
                    log::insert(txn, vec![commit.entry]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await;
        match result {
            Ok(()) => Ok(Committed::Stored),
            Err(Undone::SameKey) => Ok(Committed::SameKey),
            Err(Undone::Used(by)) => Ok(Committed::Used(by)),
            Err(Undone::Failed(error)) => Err(error),
        }
    }

    pub(crate) async fn idempotency(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Uuid)>, Error> {
        let row = entity::idempotency::Entity::find_by_id(key.to_vec())
            .one(&self.db.read)
            .await?;
        Ok(row.map(|row| (row.fingerprint, row.opening_id)))
    }

    pub(crate) async fn opening(&self, id: Uuid) -> Result<Option<Opening>, Error> {
        let row = entity::opening::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        row.map(Opening::try_from).transpose()
    }

    /// Newest first.
    pub(crate) async fn list_openings(
        &self,
        partner: Option<Uuid>,
        device_id: Option<String>,
        page: Page,
    ) -> Result<Vec<Opening>, Error> {
        use entity::opening::Column;
        let mut query = entity::opening::Entity::find().order_by_desc(Column::Id);
        if let Some(partner) = partner {
            query = query.filter(Column::PartnerId.eq(partner));
        }
        if let Some(device_id) = device_id {
            query = query.filter(Column::DeviceId.eq(device_id));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.lt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        rows.into_iter().map(Opening::try_from).collect()
    }

    /// Records an outcome, unless the partner's confirmation came first, and
    /// that this is the answer, unless one was given before.
    pub(crate) async fn record_outcome(
        &self,
        opening: Uuid,
        status: CommandStatus,
        telling: Entry,
    ) -> Result<Opening, Error> {
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::opening::Column;
                    // Of one that a confirmation was faster than, the log has heard.
                    let updated = entity::opening::Entity::update_many()
                        .col_expr(Column::CommandStatus, Expr::value(status.code()))
                        .col_expr(Column::AnsweredStatus, Expr::value(status.code()))
                        .col_expr(Column::Number, Expr::value(0_i64))
                        .filter(Column::Id.eq(opening))
                        .filter(Column::CommandStatus.eq(CommandStatus::Pending.code()))
                        .filter(Column::AnsweredStatus.eq(0_i16))
                        .exec(txn)
                        .await?;
                    if updated.rows_affected > 0 {
                        log::insert(txn, vec![telling]).await?;
                    }
                    entity::opening::Entity::update_many()
                        .col_expr(Column::AnsweredStatus, Expr::col(Column::CommandStatus))
                        .col_expr(Column::Number, Expr::value(0_i64))
                        .filter(Column::Id.eq(opening))
                        .filter(Column::AnsweredStatus.eq(0_i16))
                        .exec(txn)
                        .await?;
                    let row = entity::opening::Entity::find_by_id(opening)
                        .one(txn)
                        .await?;
                    row.ok_or(Error::NotFound(Noun::Opening))?.try_into()
                }
                .boxed()
            })
            .await
    }

    /// Commands that expired without an outcome, after a crash: nobody knows
    /// what became of them, and they are never sent again.
    pub(crate) async fn give_up_pending(
        &self,
        expired_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, Error> {
        use entity::opening::{Column, Entity};
        let rows = Entity::find()
            .filter(Column::CommandStatus.eq(CommandStatus::Pending.code()))
            .filter(Column::ExpiresAt.lt(to_micros(expired_before)))
            // One order everywhere, or two replicas lock each other out.
            .order_by_asc(Column::Id)
            .limit(GIVEN_UP_TOGETHER)
            .all(&self.db.read)
            .await?;
        let mut lost = Vec::with_capacity(rows.len());
        for row in rows {
            let opening = Opening::try_from(row)?;
            let telling = outcome(&opening, CommandStatus::Unknown, now);
            lost.push((opening.id, self.new_entry(telling, None)?));
        }
        if lost.is_empty() {
            return Ok(0);
        }
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let mut given_up = 0;
                    for (id, telling) in lost {
                        let updated = Entity::update_many()
                            .col_expr(
                                Column::CommandStatus,
                                Expr::value(CommandStatus::Unknown.code()),
                            )
                            .col_expr(Column::Number, Expr::value(0_i64))
                            .filter(Column::Id.eq(id))
                            .filter(Column::CommandStatus.eq(CommandStatus::Pending.code()))
                            .exec(txn)
                            .await?;
                        // Another replica may have been faster.
                        if updated.rows_affected > 0 {
                            log::insert(txn, vec![telling]).await?;
                            given_up += 1;
                        }
                    }
                    Ok(given_up)
                }
                .boxed()
            })
            .await
    }
}

enum Undone {
    SameKey,
    Used(Uuid),
    Failed(Error),
}

impl From<mesh::db::WriteError> for Undone {
    fn from(error: mesh::db::WriteError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<sea_orm::DbErr> for Undone {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Failed(error.into())
    }
}

async fn mark_key(
    txn: &DatabaseTransaction,
    idempotency: Idempotency,
    opening: Uuid,
    at: i64,
) -> Result<(), Undone> {
    use entity::idempotency::{ActiveModel, Column, Entity};
    let inserted = Entity::insert(ActiveModel {
        key: Set(idempotency.key),
        fingerprint: Set(idempotency.fingerprint),
        opening_id: Set(opening),
        created_at: Set(at),
    })
    .on_conflict(OnConflict::column(Column::Key).do_nothing().to_owned())
    .exec_without_returning(txn)
    .await?;
    if inserted == 0 {
        return Err(Undone::SameKey);
    }
    Ok(())
}

async fn mark_used(
    txn: &DatabaseTransaction,
    use_key: String,
    opening: Uuid,
    at: i64,
) -> Result<(), Undone> {
    use entity::token_use::{ActiveModel, Column, Entity};
    let inserted = Entity::insert(ActiveModel {
        use_key: Set(use_key.clone()),
        opening_id: Set(opening),
        used_at: Set(at),
    })
    .on_conflict(OnConflict::column(Column::UseKey).do_nothing().to_owned())
    .exec_without_returning(txn)
    .await?;
    if inserted == 0 {
        let by = Entity::find_by_id(use_key).one(txn).await?;
        return Err(Undone::Used(by.map_or(opening, |row| row.opening_id)));
    }
    Ok(())
}
