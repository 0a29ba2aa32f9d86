mod commit;
mod facts;
mod outcome;

pub(crate) use commit::{Commit, Committed};
pub(super) use commit::{Commits, commits};
pub(super) use facts::{KnownReads, known};
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
pub(super) use outcome::{Outcomes, outcomes};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr};
use uuid::Uuid;

use super::{Page, Store, entity, log};
use crate::{
    domain::{
        device::{DeviceKind, Means},
        entry,
        opening::{Command, CommandStatus, Opening},
    },
    error::Error,
};

/// Commands under way that are looked at together: more than run at once.
const MOST_PENDING: u64 = 4_096;
/// Lost commands given up in one transaction.
const GIVEN_UP_TOGETHER: u64 = 200;

/// A request's idempotency key and its body, both as MACs.
#[derive(Clone)]
pub(crate) struct Idempotency {
    pub(crate) key: Vec<u8>,
    pub(crate) fingerprint: Vec<u8>,
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

    /// Openings whose command has no outcome, the oldest first.
    pub(crate) async fn pending_commands(&self) -> Result<Vec<Uuid>, Error> {
        use entity::opening::{Column, Entity};
        let ids = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::CommandStatus.eq(CommandStatus::Pending.code()))
            .order_by_asc(Column::Id)
            .limit(MOST_PENDING)
            .into_tuple::<Uuid>()
            .all(&self.db.read)
            .await?;
        Ok(ids)
    }

    /// Those of these commands that have no outcome, after a crash: nobody knows
    /// what became of them, and they are never sent again.
    pub(crate) async fn give_up(&self, lost: Vec<Uuid>, now: Timestamp) -> Result<u64, Error> {
        use entity::opening::{Column, Entity};
        if lost.is_empty() {
            return Ok(0);
        }
        let rows = Entity::find()
            .filter(Column::Id.is_in(lost))
            .filter(Column::CommandStatus.eq(CommandStatus::Pending.code()))
            // One order everywhere, or two replicas lock each other out.
            .order_by_asc(Column::Id)
            .limit(GIVEN_UP_TOGETHER)
            .all(&self.db.read)
            .await?;
        let mut lost = Vec::with_capacity(rows.len());
        for row in rows {
            let opening = Opening::try_from(row)?;
            let telling = entry::outcome(&opening, CommandStatus::Unknown, now);
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

#[cfg(test)]
mod tests;
