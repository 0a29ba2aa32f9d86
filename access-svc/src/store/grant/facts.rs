//! What those who stand before devices may, for many of them at once.

use std::collections::BTreeSet;

use mesh::db::Db;
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryResult, QuerySelect,
    QueryTrait, Select,
    sea_query::{Expr, ExprTrait, UnionType},
};
use uuid::Uuid;

use super::StoredGrant;
use crate::{
    domain::decision::Grant,
    error::Error,
    store::{
        Resident,
        entity::{device_group_member, grant, household_member},
        padded,
    },
};

/// A grant with one whom it lets in.
struct Found {
    grant: grant::Model,
    person: Uuid,
    /// The device that its group has.
    in_group: Option<Uuid>,
}

impl FromQueryResult for Found {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self {
            grant: grant::Model::from_query_result(row, prefix)?,
            person: row.try_get(prefix, "person")?,
            in_group: row.try_get(prefix, "in_group")?,
        })
    }
}

impl Found {
    fn lets(&self, resident: &Resident, device: Uuid) -> bool {
        self.person == resident.id
            && (self.grant.device_uid == Some(device) || self.in_group == Some(device))
            // A guest is of no household.
            && (self.grant.household_id.is_none() || resident.host.is_none())
    }
}

/// Of each, the resident's own on the device or a group that it is in, and those of the
/// resident's households. A guest is of no household.
pub(in crate::store) async fn grants_on(
    db: &Db,
    asked: &[(&Resident, Uuid)],
) -> Result<Vec<Vec<Grant>>, Error> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let devices: BTreeSet<Uuid> = asked.iter().map(|(_, device)| *device).collect();
    let devices = padded(devices);
    let residents: BTreeSet<Uuid> = asked.iter().map(|(resident, _)| resident.id).collect();
    let at_home = asked.iter().filter(|(resident, _)| resident.host.is_none());
    let at_home: BTreeSet<Uuid> = at_home.map(|(resident, _)| resident.id).collect();

    let own = grant::Entity::find()
        .column_as(grant::Column::ResidentId, "person")
        .filter(grant::Column::ResidentId.is_in(padded(residents)));
    let mut query = on_any(own, &devices);
    if !at_home.is_empty() {
        let mut shared =
            grant::Entity::find().column_as(household_member::Column::ResidentId, "person");
        let of_household = (
            household_member::Entity,
            household_member::Column::HouseholdId,
        );
        QuerySelect::query(&mut shared)
            .inner_join(
                household_member::Entity,
                Expr::col(of_household).equals((grant::Entity, grant::Column::HouseholdId)),
            )
            .and_where(household_member::Column::ResidentId.is_in(padded(at_home)));
        let shared = on_any(shared, &devices).into_query();
        QuerySelect::query(&mut query).union(UnionType::All, shared);
    }
    let found = query.into_model::<Found>().all(&db.read).await?;
    asked
        .iter()
        .map(|(resident, device)| {
            let theirs = found.iter().filter(|found| found.lets(resident, *device));
            theirs
                .map(|found| read(&found.grant))
                .collect::<Result<Vec<Grant>, Error>>()
        })
        .collect()
}

/// On one of these devices, or on a group that has one. What the query joins by itself stands
/// before it: SQLite puts no table from behind an outer join first.
fn on_any(mut query: Select<grant::Entity>, devices: &[Uuid]) -> Select<grant::Entity> {
    let of_group = (
        device_group_member::Entity,
        device_group_member::Column::GroupId,
    );
    let has_it = device_group_member::Column::DeviceUid.is_in(devices.iter().copied());
    let members = Expr::col(of_group)
        .equals((grant::Entity, grant::Column::GroupId))
        .and(has_it);
    QuerySelect::query(&mut query).left_join(device_group_member::Entity, members);
    let on_it = grant::Column::DeviceUid.is_in(devices.iter().copied());
    query
        .column_as(device_group_member::Column::DeviceUid, "in_group")
        .filter(on_it.or(device_group_member::Column::DeviceUid.is_not_null()))
}

fn read(row: &grant::Model) -> Result<Grant, Error> {
    let stored = StoredGrant::try_from(row.clone())?;
    Ok(Grant {
        windows: stored.windows,
        ends_at: stored.ends_at,
    })
}
