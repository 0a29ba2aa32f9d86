mod holder;

use audit_log::Entry;
use futures::FutureExt;
pub(crate) use holder::Holder;
pub(super) use holder::{Holders, holders};
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    sea_query::{Expr, ExprTrait, LockType},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    NewExternalIds, ObjectId, Owner, Page, ResidentKey, Sought, Store, context, entity,
    external_id, log, resident::check_present,
};
use crate::{
    domain::{
        etag::{IfMatch, Version},
        event::{CredentialKind, HoldingKind},
        external_id::{ExternalIds, Object},
        holding::{Held, SpanChange},
        plate::Plate,
    },
    error::{Error, Noun},
};

pub(super) const VALUE: &str = "holding value";

#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) id: Uuid,
    pub(crate) resident: Uuid,
    pub(crate) kind: HoldingKind,
    pub(crate) held: Held,
    pub(crate) version: Version,
}

/// What a resident comes to hold.
pub(crate) enum NewHolding {
    Vehicle(Plate),
    Credential {
        partner: Uuid,
        kind: CredentialKind,
        id: Zeroizing<String>,
        site: Uuid,
    },
}

/// What is to change of a holding.
pub(crate) struct HoldingChange {
    pub(crate) span: SpanChange,
    /// With the version whose ids these take the place of.
    pub(crate) external_ids: Option<(Version, NewExternalIds)>,
}

/// A holding ready to be stored.
pub(super) struct NewRow {
    pub(super) row: entity::holding::Model,
    alone: Alone,
    external_ids: NewExternalIds,
}

/// What is held once at a time, and by what it may be found.
struct Alone {
    among: Among,
    lookups: Vec<Vec<u8>>,
}

/// Whose holdings a twin is looked for among.
#[derive(Clone, Copy)]
enum Among {
    /// A key or a fob is one person's of all that know the partner.
    Partner(Uuid),
    /// A vehicle may be several people's, of each once.
    Resident(Uuid),
}

impl From<entity::holding::Model> for Holding {
    fn from(row: entity::holding::Model) -> Self {
        Self {
            id: row.id,
            resident: row.resident_id,
            kind: HoldingKind::from_code(row.kind),
            held: Held {
                from: from_micros(row.held_from),
                to: row.held_to.map(from_micros),
            },
            version: Version(row.version),
        }
    }
}

impl Store {
    pub(crate) async fn insert_holding(
        &self,
        resident: Uuid,
        key: &ResidentKey,
        new: NewHolding,
        held: Held,
        external_ids: &ExternalIds,
        telling: Entry,
    ) -> Result<Holding, Error> {
        self.learns_epoch().await?;
        self.learns_epoch_of_names().await?;
        let new = self.new_holding(resident, key, &new, held, external_ids)?;
        let telling = Entry {
            subject: Some(new.row.id.to_string()),
            ..telling
        };
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let holding = insert(txn, new).await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(holding)
                }
                .boxed()
            })
            .await
    }

    /// Ready to be stored.
    pub(super) fn new_holding(
        &self,
        resident: Uuid,
        key: &ResidentKey,
        new: &NewHolding,
        held: Held,
        external_ids: &ExternalIds,
    ) -> Result<NewRow, Error> {
        let id = Uuid::now_v7();
        let (kind, site, sought) = match new {
            NewHolding::Vehicle(plate) => (HoldingKind::Vehicle, None, Sought::plate(plate)),
            NewHolding::Credential {
                partner,
                kind,
                id,
                site,
            } => (
                HoldingKind::from(*kind),
                Some(*site),
                Sought::credential(*partner, *kind, id),
            ),
        };
        let of = ObjectId {
            object: Object::Holding,
            id,
        };
        let owner = Owner::Resident(resident, key);
        let epoch = self.keyring.current();
        Ok(NewRow {
            row: entity::holding::Model {
                id,
                resident_id: resident,
                kind: kind.code(),
                site_id: site,
                lookup: sought.hash(&epoch),
                lookup_epoch: epoch.id,
                sealed: key.0.seal(sought.bytes(), &context(VALUE, id))?,
                held_from: to_micros(held.from),
                held_to: held.to.map(to_micros),
                version: Version::FIRST.0,
            },
            alone: self.alone(resident, &sought),
            external_ids: self.new_external_ids(of, &owner, external_ids)?,
        })
    }

    fn alone(&self, resident: Uuid, sought: &Sought) -> Alone {
        let among = sought.partner().map(Among::Partner);
        Alone {
            among: among.unwrap_or(Among::Resident(resident)),
            lookups: sought.hashes(&self.keyring),
        }
    }

    pub(crate) async fn list_holdings(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Holding>, Error> {
        use entity::holding::Column;
        let mut query = entity::holding::Entity::find().order_by_asc(Column::Id);
        if let Some(resident) = resident {
            query = query.filter(Column::ResidentId.eq(resident));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(Holding::from).collect())
    }

    pub(crate) async fn holding(&self, id: Uuid) -> Result<Option<Holding>, Error> {
        let row = entity::holding::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Holding::from))
    }

    /// The key is the holder's.
    pub(crate) async fn update_holding(
        &self,
        id: Uuid,
        key: &ResidentKey,
        change: HoldingChange,
        if_match: IfMatch,
        telling: Entry,
    ) -> Result<Holding, Error> {
        self.learns_epoch().await?;
        let row = entity::holding::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        let row = row.ok_or(Error::NotFound(Noun::Holding))?;
        let sealed = key.0.open(&row.sealed, &context(VALUE, id))?;
        // What an older release sealed becomes known with the next epoch.
        let sought = Sought::unsealed(HoldingKind::from_code(row.kind), sealed);
        let alone = sought.map(|sought| self.alone(row.resident_id, &sought));
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::holding::{Column, Entity};
                    if let Some(alone) = &alone {
                        alone.wait(txn).await?;
                    }
                    let holding = locked(txn, id).await?;
                    if_match.check(holding.version)?;
                    check_present(txn, holding.resident).await?;
                    let held = change.span.of(holding.held)?;
                    // What a store of an older release holds twice can be cut until it is not.
                    if let Some(alone) = &alone
                        && !holding.held.contains(held)
                    {
                        alone.check(txn, held, id).await?;
                    }
                    Entity::update_many()
                        .col_expr(Column::HeldFrom, Expr::value(to_micros(held.from)))
                        .col_expr(Column::HeldTo, Expr::value(held.to.map(to_micros)))
                        .col_expr(Column::Version, Expr::col(Column::Version).add(1_i64))
                        .filter(Column::Id.eq(id))
                        .exec(txn)
                        .await?;
                    if let Some((read, ids)) = change.external_ids {
                        // Somebody else's ids of meanwhile would go.
                        if read != holding.version {
                            return Err(Error::EtagMismatch);
                        }
                        external_id::replace(txn, ids).await?;
                    }
                    let who = log::name_in_logs(txn, holding.resident).await?;
                    let telling = store.new_entry(Entry { who, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    locked(txn, id).await
                }
                .boxed()
            })
            .await
    }

    /// Ends a holding now; one that has ended keeps its end.
    pub(crate) async fn end_holding(
        &self,
        id: Uuid,
        now: Timestamp,
        telling: Entry,
    ) -> Result<Holding, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::holding::{Column, Entity};
                    let holding = locked(txn, id).await?;
                    let held = holding.held.ended(now);
                    if held == holding.held {
                        return Ok(holding);
                    }
                    Entity::update_many()
                        .col_expr(Column::HeldTo, Expr::value(held.to.map(to_micros)))
                        .col_expr(Column::Version, Expr::col(Column::Version).add(1_i64))
                        .filter(Column::Id.eq(id))
                        .exec(txn)
                        .await?;
                    let who = log::name_in_logs(txn, holding.resident).await?;
                    let telling = store.new_entry(Entry { who, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    locked(txn, id).await
                }
                .boxed()
            })
            .await
    }
}

/// Refuses what is for somebody who is absent, and what is held already.
pub(super) async fn insert(txn: &DatabaseTransaction, new: NewRow) -> Result<Holding, Error> {
    check_present(txn, new.row.resident_id).await?;
    let holding = Holding::from(new.row.clone());
    new.alone.wait(txn).await?;
    new.alone.check(txn, holding.held, holding.id).await?;
    entity::holding::Entity::insert(entity::holding::ActiveModel::from(new.row))
        .exec_without_returning(txn)
        .await?;
    external_id::insert(txn, new.external_ids).await?;
    Ok(holding)
}

impl Alone {
    /// One at a time of a partner's or a resident's: two replicas would not see each other's. Before
    /// the holding's own row, as a rotation takes them.
    async fn wait(&self, txn: &DatabaseTransaction) -> Result<(), Error> {
        use entity::{partner, resident};
        match self.among {
            Among::Partner(id) => {
                let found = partner::Entity::find_by_id(id)
                    .select_only()
                    .column(partner::Column::Id)
                    .lock(LockType::NoKeyUpdate)
                    .into_tuple::<Uuid>()
                    .one(txn)
                    .await?;
                found.map(|_| ()).ok_or(Error::NotFound(Noun::Partner))
            }
            Among::Resident(id) => {
                let found = resident::Entity::find_by_id(id)
                    .select_only()
                    .column(resident::Column::Id)
                    .lock(LockType::NoKeyUpdate)
                    .into_tuple::<Uuid>()
                    .one(txn)
                    .await?;
                found.map(|_| ()).ok_or(Error::NotFound(Noun::Resident))
            }
        }
    }

    /// ALREADY_EXISTS where it is held for a part of that span, by another holding.
    async fn check(&self, txn: &DatabaseTransaction, held: Held, by: Uuid) -> Result<(), Error> {
        use entity::{
            holding::{Column, Entity},
            resident,
        };
        // What somebody who is being erased held is free.
        let present = resident::Entity::find()
            .select_only()
            .column(resident::Column::Id)
            .filter(resident::Column::Erasing.eq(false))
            .into_query();
        let without_end = || Column::HeldTo.is_null();
        let mut twins = Entity::find()
            .filter(Column::Lookup.is_in(self.lookups.iter().cloned()))
            .filter(Column::Id.ne(by))
            .filter(without_end().or(Column::HeldTo.gt(to_micros(held.from))))
            // One that was ended before it began is nobody's.
            .filter(without_end().or(Expr::col(Column::HeldTo).gt(Expr::col(Column::HeldFrom))))
            .filter(Column::ResidentId.in_subquery(present));
        if let Some(to) = held.to {
            twins = twins.filter(Column::HeldFrom.lt(to_micros(to)));
        }
        if let Among::Resident(resident) = self.among {
            twins = twins.filter(Column::ResidentId.eq(resident));
        }
        match twins.one(txn).await? {
            Some(_) => Err(Error::Exists(Noun::Holding)),
            None => Ok(()),
        }
    }
}

async fn locked(txn: &DatabaseTransaction, id: Uuid) -> Result<Holding, Error> {
    let row = entity::holding::Entity::find_by_id(id)
        .lock(LockType::Update)
        .one(txn)
        .await?;
    row.map(Holding::from).ok_or(Error::NotFound(Noun::Holding))
}

#[cfg(test)]
mod tests;
