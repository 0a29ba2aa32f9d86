mod facts;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use audit_log::Entry;
pub(super) use facts::subscriptions_of;
use futures::FutureExt;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{ExprTrait, LockType, OnConflict},
};
use uuid::Uuid;

use super::{Store, entity, log};
use crate::{
    domain::{
        decision::Subscription,
        device::DeviceKind,
        etag::{IfMatch, Version},
        payment::{Outcome, Payment},
    },
    error::{Error, Noun},
};

#[derive(Clone, Debug)]
pub(crate) struct StoredSubscription {
    pub(crate) household: Uuid,
    pub(crate) site: Uuid,
    pub(crate) kind: DeviceKind,
    pub(crate) payment: Payment,
    pub(crate) version: Version,
}

/// Household, site, and the kind as the database holds it.
pub(crate) type SubscriptionKey = (Uuid, Uuid, i16);

/// What a state came to: what is known from then on.
pub(crate) type Put = Result<(StoredSubscription, Outcome), Error>;

impl StoredSubscription {
    pub(crate) fn key(&self) -> SubscriptionKey {
        (self.household, self.site, self.kind.code())
    }
}

/// A state that is told.
pub(crate) struct NewPayment {
    pub(crate) household: Uuid,
    /// None for the household's own.
    pub(crate) site: Option<Uuid>,
    pub(crate) kind: DeviceKind,
    pub(crate) payment: Payment,
    pub(crate) rule: Rule,
    pub(crate) telling: Entry,
}

/// Over what a state is put.
pub(crate) enum Rule {
    /// Over one that is not newer.
    NotNewer,
    /// Over whatever is there, if it is as it was read.
    Any(IfMatch),
}

impl From<entity::subscription::Model> for StoredSubscription {
    fn from(row: entity::subscription::Model) -> Self {
        Self {
            household: row.household_id,
            site: row.site_id,
            kind: DeviceKind::from_code(row.kind),
            payment: Payment {
                paid: Subscription {
                    paid_until: from_micros(row.paid_until),
                    grace_days: u32::try_from(row.grace_days).unwrap_or(0),
                    suspended: row.suspended,
                },
                as_of: from_micros(row.as_of),
            },
            version: Version(row.version),
        }
    }
}

impl From<StoredSubscription> for entity::subscription::ActiveModel {
    fn from(state: StoredSubscription) -> Self {
        let paid = state.payment.paid;
        Self {
            household_id: Set(state.household),
            site_id: Set(state.site),
            kind: Set(state.kind.code()),
            paid_until: Set(to_micros(paid.paid_until)),
            grace_days: Set(i32::try_from(paid.grace_days).unwrap_or(i32::MAX)),
            suspended: Set(paid.suspended),
            as_of: Set(to_micros(state.payment.as_of)),
            version: Set(state.version.0),
        }
    }
}

impl Store {
    /// Puts states in their order; each stands or falls alone.
    pub(crate) async fn put_payments(&self, told: Vec<NewPayment>) -> Result<Vec<Put>, Error> {
        if told.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let mut states = States::read(txn, &told).await?;
                    let mut results = Vec::with_capacity(told.len());
                    let mut tellings = Vec::new();
                    let mut applied = BTreeMap::new();
                    for new in told {
                        let mut telling = new.telling.clone();
                        let result = states.put(new);
                        if let Ok((state, Outcome::Applied)) = &result {
                            telling.site = Some(state.site);
                            telling.subject =
                                Some(format!("{} {}", state.household, state.kind.scope()));
                            tellings.push(store.new_entry(telling, None)?);
                            applied.insert(state.key(), state.clone());
                        }
                        results.push(result);
                    }
                    upsert(txn, applied.into_values()).await?;
                    log::insert(txn, tellings).await?;
                    Ok(results)
                }
                .boxed()
            })
            .await
    }

    /// After the key given.
    pub(crate) async fn list_subscriptions(
        &self,
        household: Option<Uuid>,
        after: Option<SubscriptionKey>,
        limit: u64,
    ) -> Result<Vec<StoredSubscription>, Error> {
        use entity::subscription::{Column, Entity};
        let mut query = Entity::find()
            .order_by_asc(Column::HouseholdId)
            .order_by_asc(Column::SiteId)
            .order_by_asc(Column::Kind);
        if let Some(household) = household {
            query = query.filter(Column::HouseholdId.eq(household));
        }
        if let Some((household, site, kind)) = after {
            let kind_after = Column::SiteId.eq(site).and(Column::Kind.gt(kind));
            let at_home = Column::HouseholdId.eq(household);
            let rest = at_home.and(Column::SiteId.gt(site).or(kind_after));
            query = query.filter(Column::HouseholdId.gt(household).or(rest));
        }
        let rows = query.limit(limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(StoredSubscription::from).collect())
    }
}

/// What there is of the households and sites of some states, as they change.
struct States {
    /// Each household's own site.
    homes: HashMap<Uuid, Uuid>,
    sites: HashSet<Uuid>,
    known: HashMap<SubscriptionKey, StoredSubscription>,
}

impl States {
    async fn read(txn: &DatabaseTransaction, told: &[NewPayment]) -> Result<Self, Error> {
        use entity::{household, site, subscription};
        let asked: BTreeSet<Uuid> = told.iter().map(|new| new.household).collect();
        // One at a time of a household's, in one order everywhere.
        let homes: Vec<(Uuid, Uuid)> = household::Entity::find()
            .select_only()
            .column(household::Column::Id)
            .column(household::Column::SiteId)
            .filter(household::Column::Id.is_in(asked.iter().copied()))
            .order_by_asc(household::Column::Id)
            .lock(LockType::NoKeyUpdate)
            .into_tuple()
            .all(txn)
            .await?;
        let homes: HashMap<Uuid, Uuid> = homes.into_iter().collect();
        let named: BTreeSet<Uuid> = told.iter().filter_map(|new| new.site).collect();
        let sites: Vec<Uuid> = site::Entity::find()
            .select_only()
            .column(site::Column::Id)
            .filter(site::Column::Id.is_in(named))
            .into_tuple()
            .all(txn)
            .await?;
        let known = subscription::Entity::find()
            .filter(subscription::Column::HouseholdId.is_in(asked))
            .all(txn)
            .await?;
        let known = known.into_iter().map(StoredSubscription::from);
        Ok(Self {
            homes,
            sites: sites.into_iter().collect(),
            known: known.map(|state| (state.key(), state)).collect(),
        })
    }

    fn put(&mut self, new: NewPayment) -> Put {
        let home = self.homes.get(&new.household);
        let home = *home.ok_or(Error::NotFound(Noun::Household))?;
        let site = new.site.unwrap_or(home);
        if new.site.is_some() && !self.sites.contains(&site) {
            return Err(Error::NotFound(Noun::Site));
        }
        let mut state = StoredSubscription {
            household: new.household,
            site,
            kind: new.kind,
            payment: new.payment,
            version: Version::FIRST,
        };
        let known = self.known.get(&state.key());
        let mut outcome = state.payment.over(known.map(|known| &known.payment));
        if let Rule::Any(if_match) = new.rule {
            // What is not there has no state that could have been read.
            if_match.check(known.map_or(Version(0), |known| known.version))?;
            if outcome == Outcome::Outdated {
                outcome = Outcome::Applied;
            }
        }
        match known {
            Some(known) if outcome != Outcome::Applied => Ok((known.clone(), outcome)),
            known => {
                if let Some(known) = known {
                    state.version = Version(known.version.0 + 1);
                }
                self.known.insert(state.key(), state.clone());
                Ok((state, Outcome::Applied))
            }
        }
    }
}

async fn upsert(
    txn: &DatabaseTransaction,
    states: impl Iterator<Item = StoredSubscription>,
) -> Result<(), Error> {
    use entity::subscription::{ActiveModel, Column, Entity};
    let rows: Vec<ActiveModel> = states.map(ActiveModel::from).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let replaced = [
        Column::PaidUntil,
        Column::GraceDays,
        Column::Suspended,
        Column::AsOf,
        Column::Version,
    ];
    Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([Column::HouseholdId, Column::SiteId, Column::Kind])
                .update_columns(replaced)
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
