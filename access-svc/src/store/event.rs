use std::collections::{HashMap, HashSet};

use audit_log::Entry;
use futures::FutureExt;
use mesh::{
    clock::{from_micros, to_micros},
    db::is_postgres,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockType, OnConflict},
};
use uuid::Uuid;

use super::{NewEntry, Page, ROWS, Sealer, Store, context, entity, log, resident::present};
use crate::{
    domain::{
        entry::{self, Link},
        event::{CommandResult, CredentialKind, CredentialOpening, Event},
        opening::CommandStatus,
    },
    error::{Error, Noun},
};

const CREDENTIAL: &str = "event credential";

/// An event ready to be stored.
pub(crate) struct NewEvent {
    row: entity::event::Model,
    /// What the audit log says of it.
    telling: NewEntry,
    /// What it is made of.
    entry: Entry,
}

impl NewEvent {
    /// An event of somebody who is erased meanwhile: as [`forget_person`] leaves
    /// those that are stored.
    fn forget_all_but(&mut self, residents: &HashSet<Uuid>, store: &Store) -> Result<(), Error> {
        let row = &mut self.row;
        if row.resident_id.is_some_and(|id| !residents.contains(&id)) {
            row.resident_id = None;
            row.sealed.clear();
            row.dedupe = row.id.as_bytes().to_vec();
            self.telling = store.new_entry(self.entry.clone(), None)?;
        }
        Ok(())
    }
}

impl From<entity::event::Model> for Event {
    fn from(row: entity::event::Model) -> Self {
        Self {
            id: row.id,
            kind: CredentialKind::from_code(row.kind),
            partner: row.partner_id,
            device_id: row.device_id,
            device_known: row.device_known,
            holder: row.holder,
            opened_at: from_micros(row.opened_at),
            received_at: from_micros(row.received_at),
        }
    }
}

impl Store {
    /// The event's row: the credential under its holder's key, or the month's
    /// when nobody is known to have held it.
    pub(crate) fn new_event(
        &self,
        event: Event,
        told: &CredentialOpening,
        holder: Option<Uuid>,
        sealer: Sealer<'_>,
    ) -> Result<NewEvent, Error> {
        let link = Link::Credential(event.kind, told.credential_id.clone());
        let entry = entry::event(&event);
        let telling = self.new_entry(entry.clone(), Some((&link, sealer)))?;
        let sealed = sealer.key().seal(
            told.credential_id.as_bytes(),
            &context(CREDENTIAL, event.id),
        )?;
        let opened_at = to_micros(event.opened_at);
        let dedupe = match &told.event_id {
            Some(id) => self.identity(&event, &[b"id", id.as_bytes()]),
            None => self.identity(
                &event,
                &[
                    b"key",
                    told.credential_id.as_bytes(),
                    told.device_id.as_deref().unwrap_or_default().as_bytes(),
                    &opened_at.to_be_bytes(),
                ],
            ),
        };
        Ok(NewEvent {
            telling,
            entry,
            row: entity::event::Model {
                id: event.id,
                kind: event.kind.code(),
                partner_id: event.partner,
                dedupe,
                device_id: event.device_id,
                device_known: event.device_known,
                holder: event.holder,
                resident_id: holder,
                sealed,
                opened_at,
                received_at: to_micros(event.received_at),
                number: 0,
            },
        })
    }

    fn identity(&self, event: &Event, parts: &[&[u8]]) -> Vec<u8> {
        let kind = event.kind.code().to_be_bytes();
        let mut all: Vec<&[u8]> = vec![b"event", event.partner.as_bytes(), &kind];
        all.extend_from_slice(parts);
        self.keys.fingerprint.mac(&all).to_vec()
    }

    /// How many of each call's were new; the rest had been told before, or by
    /// a call before it.
    pub(crate) async fn insert_events(&self, calls: Vec<Vec<NewEvent>>) -> Result<Vec<u64>, Error> {
        let mut new = vec![0; calls.len()];
        let mut events: Vec<(usize, NewEvent)> = calls
            .into_iter()
            .enumerate()
            .flat_map(|(call, events)| events.into_iter().map(move |event| (call, event)))
            .collect();
        if events.is_empty() {
            return Ok(new);
        }
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::event::{ActiveModel, Column, Entity};
                    let holders: Vec<Uuid> = events
                        .iter()
                        .filter_map(|(_, event)| event.row.resident_id)
                        .collect();
                    let there = present(txn, holders).await?;
                    for (_, event) in &mut events {
                        event.forget_all_but(&there, &store)?;
                    }
                    // One order everywhere, or two replicas lock each other out.
                    events.sort_by(|(_, one), (_, other)| one.row.dedupe.cmp(&other.row.dedupe));
                    // Of one told twice the first stays, since the order is stable.
                    events.dedup_by(|(_, again), (_, first)| again.row.dedupe == first.row.dedupe);
                    let (mut rows, mut tellings) = (vec![], HashMap::new());
                    for (call, event) in events {
                        tellings.insert(event.row.id, (call, event.telling));
                        rows.push(ActiveModel::from(event.row));
                    }
                    let mut inserted = 0;
                    while !rows.is_empty() {
                        let rest = rows.split_off(rows.len().min(ROWS));
                        inserted += Entity::insert_many(rows)
                            .on_conflict(OnConflict::column(Column::Dedupe).do_nothing().to_owned())
                            .exec_without_returning(txn)
                            .await?;
                        rows = rest;
                    }
                    if inserted < tellings.len() as u64 {
                        let ids: Vec<Uuid> = tellings.keys().copied().collect();
                        let stored: Vec<Uuid> = Entity::find()
                            .select_only()
                            .column(Column::Id)
                            .filter(Column::Id.is_in(ids))
                            .into_tuple()
                            .all(txn)
                            .await?;
                        let stored: HashSet<Uuid> = stored.into_iter().collect();
                        tellings.retain(|id, _| stored.contains(id));
                    }
                    let mut entries = Vec::with_capacity(tellings.len());
                    for (call, telling) in tellings.into_values() {
                        new[call] += 1;
                        entries.push(telling);
                    }
                    log::insert(txn, entries).await?;
                    Ok(new)
                }
                .boxed()
            })
            .await
    }

    /// Newest first.
    pub(crate) async fn list_events(
        &self,
        partner: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Event>, Error> {
        use entity::event::Column;
        let mut query = entity::event::Entity::find().order_by_desc(Column::Id);
        if let Some(partner) = partner {
            query = query.filter(Column::PartnerId.eq(partner));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.lt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(Event::from).collect())
    }

    /// Stores a partner's confirmations, all or none; how many were new.
    pub(crate) async fn confirm_commands(
        &self,
        partner: Uuid,
        results: Vec<CommandResult>,
        received_at: i64,
    ) -> Result<u64, Error> {
        let (store, key) = (self.clone(), self.keys.fingerprint.clone());
        let results: Vec<(CommandResult, Entry)> = results
            .into_iter()
            .map(|result| {
                let telling = entry::confirmation(partner, &result, from_micros(received_at));
                (result, telling)
            })
            .collect();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::opening::{Column, Entity};
                    let ids: HashSet<Uuid> = results.iter().map(|(r, _)| r.command_id).collect();
                    let known: HashMap<(Uuid, Uuid), _> = Entity::find()
                        .filter(Column::PartnerId.eq(partner))
                        .filter(Column::CommandId.is_in(ids))
                        // One order everywhere, or two replicas lock each other out.
                        .order_by_asc(Column::Id)
                        .lock(LockType::NoKeyUpdate)
                        .all(txn)
                        .await?
                        .into_iter()
                        .filter_map(|row| Some(((row.command_id?, row.id), row)))
                        .collect();
                    let mut accepted = 0;
                    for (result, telling) in results {
                        let of = (result.command_id, result.opening_id);
                        let opening = known.get(&of).ok_or(Error::NotFound(Noun::Command))?;
                        let at = to_micros(result.at);
                        let dedupe = confirmation_identity(&key, partner, &result, at);
                        let new = entity::command_result::Entity::insert(
                            entity::command_result::ActiveModel {
                                dedupe: Set(dedupe),
                                command_id: Set(result.command_id),
                                opened: Set(result.opened),
                                at: Set(at),
                                received_at: Set(received_at),
                            },
                        )
                        .on_conflict(
                            OnConflict::column(entity::command_result::Column::Dedupe)
                                .do_nothing()
                                .to_owned(),
                        )
                        .exec_without_returning(txn)
                        .await?;
                        if new == 0 {
                            continue;
                        }
                        accepted += 1;
                        let telling = Entry {
                            site: Some(opening.site_id),
                            device: Some(opening.device_id.clone()),
                            ..telling
                        };
                        log::insert(txn, vec![store.new_entry(telling, None)?]).await?;
                        let status = if result.opened {
                            CommandStatus::Opened
                        } else {
                            CommandStatus::Failed
                        };
                        let open = CommandStatus::OPEN_TO_CONFIRMATION.map(CommandStatus::code);
                        Entity::update_many()
                            .col_expr(Column::CommandStatus, Expr::value(status.code()))
                            .col_expr(Column::Number, Expr::value(0_i64))
                            .filter(Column::Id.eq(result.opening_id))
                            .filter(Column::CommandStatus.is_in(open))
                            .exec(txn)
                            .await?;
                    }
                    Ok(accepted)
                }
                .boxed()
            })
            .await
    }
}

/// Leaves of a resident's events what names nobody: neither the credential nor
/// a hash of it, by which it could be tried. How many there are.
pub(super) async fn forget_person(
    txn: &impl ConnectionTrait,
    resident: Uuid,
) -> Result<u64, Error> {
    use entity::event::{Column, Entity};
    let id = if is_postgres(txn) {
        Expr::cust("uuid_send(id)")
    } else {
        Expr::col(Column::Id)
    };
    let forgotten = Entity::update_many()
        .col_expr(Column::ResidentId, Expr::val(Option::<Uuid>::None))
        .col_expr(Column::Sealed, Expr::val(Vec::<u8>::new()))
        .col_expr(Column::Dedupe, id)
        .filter(Column::ResidentId.eq(resident))
        .exec(txn)
        .await?;
    Ok(forgotten.rows_affected)
}

fn confirmation_identity(
    key: &mesh::crypto::Key,
    partner: Uuid,
    result: &CommandResult,
    at: i64,
) -> Vec<u8> {
    let partner = partner.as_bytes();
    match &result.event_id {
        Some(id) => key.mac(&[b"command", partner, b"id", id.as_bytes()]),
        None => key.mac(&[
            b"command",
            partner,
            b"result",
            result.command_id.as_bytes(),
            &[u8::from(result.opened)],
            &at.to_be_bytes(),
        ]),
    }
    .to_vec()
}

#[cfg(test)]
mod tests;
