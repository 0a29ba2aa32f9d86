//! Through whom those who stand before devices have paid, for many of them at once.

use std::collections::{BTreeMap, BTreeSet};

use mesh::db::Db;
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryResult, QuerySelect,
    QueryTrait,
    sea_query::{Expr, ExprTrait, UnionType},
};
use uuid::Uuid;

use super::StoredSubscription;
use crate::{
    domain::{decision::Subscription, device::DeviceKind},
    error::Error,
    store::{
        Resident,
        entity::{household_member, subscription},
        padded,
    },
};

/// Who stands there, at which site, and what is to open.
pub(in crate::store) type Payer<'a> = (&'a Resident, Uuid, DeviceKind);

/// A household's state with one of its members, or for its guests.
struct Found {
    state: subscription::Model,
    /// The household itself for its guests.
    person: Uuid,
}

impl FromQueryResult for Found {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self {
            state: subscription::Model::from_query_result(row, prefix)?,
            person: row.try_get(prefix, "person")?,
        })
    }
}

impl Found {
    fn pays_for(&self, (resident, site, kind): Payer<'_>) -> bool {
        let state = &self.state;
        (self.person == resident.id || Some(state.household_id) == resident.host)
            && state.site_id == site
            && state.kind == kind.code()
    }
}

/// Of each, those of every household through which the resident's service may be paid: those of
/// which the resident is a member, and a guest's host.
pub(in crate::store) async fn subscriptions_of(
    db: &Db,
    asked: &[Payer<'_>],
) -> Result<Vec<Vec<Subscription>>, Error> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let residents: BTreeSet<Uuid> = asked.iter().map(|(resident, ..)| resident.id).collect();
    let hosts: BTreeSet<Uuid> = asked
        .iter()
        .filter_map(|(resident, ..)| resident.host)
        .collect();
    let sites: BTreeSet<Uuid> = asked.iter().map(|(_, site, _)| *site).collect();
    let sites = padded(sites);
    let here = || subscription::Column::SiteId.is_in(sites.iter().copied());

    let mut query = subscription::Entity::find()
        .column_as(household_member::Column::ResidentId, "person")
        .filter(here());
    let of_household = (
        household_member::Entity,
        household_member::Column::HouseholdId,
    );
    let of_state = (subscription::Entity, subscription::Column::HouseholdId);
    QuerySelect::query(&mut query)
        .inner_join(
            household_member::Entity,
            Expr::col(of_household).equals(of_state),
        )
        .and_where(household_member::Column::ResidentId.is_in(padded(residents)));
    if !hosts.is_empty() {
        let of_hosts = subscription::Entity::find()
            .column_as(subscription::Column::HouseholdId, "person")
            .filter(here())
            .filter(subscription::Column::HouseholdId.is_in(padded(hosts)))
            .into_query();
        QuerySelect::query(&mut query).union(UnionType::All, of_hosts);
    }
    let found = query.into_model::<Found>().all(&db.read).await?;
    let of = |payer: &Payer<'_>| -> Vec<Subscription> {
        // A host's state is there for its members too.
        let theirs: BTreeMap<Uuid, Subscription> = found
            .iter()
            .filter(|found| found.pays_for(*payer))
            .map(|found| StoredSubscription::from(found.state.clone()))
            .map(|state| (state.household, state.payment.paid))
            .collect();
        theirs.into_values().collect()
    };
    Ok(asked.iter().map(of).collect())
}
