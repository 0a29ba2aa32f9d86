mod facts;

use std::collections::HashMap;

use audit_log::Entry;
pub(super) use facts::grants_on;
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::{from_micros, to_micros};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, LockType},
};
use uuid::Uuid;

use super::{NewExternalIds, Page, Resident, Store, entity, external_id, log, resident};
use crate::{
    domain::{
        etag::{IfMatch, Version},
        external_id::Object,
        grant::{Holder, Target},
        schedule::Window,
    },
    error::{Error, Noun},
};

#[derive(Clone, Debug)]
pub(crate) struct StoredGrant {
    pub(crate) id: Uuid,
    pub(crate) holder: Holder,
    pub(crate) target: Target,
    pub(crate) windows: Vec<Window>,
    pub(crate) ends_at: Option<Timestamp>,
    pub(crate) version: Version,
}

/// Which grants are listed.
#[derive(Clone, Copy)]
pub(crate) enum GrantFilter {
    All,
    Of(Holder),
    On(Target),
}

/// What is to change of a grant.
pub(crate) struct GrantChange {
    pub(crate) windows: Option<Vec<Window>>,
    /// Inside, none is without an end.
    pub(crate) ends_at: Option<Option<Timestamp>>,
    /// With the version whose ids these take the place of.
    pub(crate) external_ids: Option<(Version, NewExternalIds)>,
}

impl TryFrom<entity::grant::Model> for StoredGrant {
    type Error = Error;

    fn try_from(row: entity::grant::Model) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            holder: match (row.resident_id, row.household_id) {
                (Some(resident), None) => Holder::Resident(resident),
                (None, Some(household)) => Holder::Household(household),
                _ => return Err(Error::Corrupt("grant holder")),
            },
            target: match (row.device_uid, row.group_id) {
                (Some(device), None) => Target::Device(device),
                (None, Some(group)) => Target::Group(group),
                _ => return Err(Error::Corrupt("grant target")),
            },
            // Windows that cannot be read must not become "at any time".
            windows: serde_json::from_str(&row.windows)
                .map_err(|_| Error::Corrupt("grant windows"))?,
            ends_at: row.ends_at.map(from_micros),
            version: Version(row.version),
        })
    }
}

fn windows_text(windows: &[Window]) -> Result<String, Error> {
    serde_json::to_string(windows).map_err(|_| Error::Corrupt("grant windows"))
}

impl Store {
    pub(crate) async fn insert_grant(
        &self,
        grant: StoredGrant,
        external_ids: NewExternalIds,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let target = grant.target;
                    insert(txn, grant, external_ids, now).await?;
                    let telling = Entry {
                        site: Some(target_site(txn, target).await?),
                        ..telling
                    };
                    log::insert(txn, vec![store.new_entry(telling, None)?]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Devices (our ids) on which each resident has a right that has not ended, alone or through
    /// a household, on the device or a group.
    pub(crate) async fn granted_devices(
        &self,
        residents: &[&Resident],
        now: Timestamp,
    ) -> Result<HashMap<Uuid, Vec<Uuid>>, Error> {
        use entity::{device_group_member, grant, household_member};
        let own: Vec<Uuid> = residents.iter().map(|resident| resident.id).collect();
        let at_home = residents.iter().filter(|resident| resident.host.is_none());
        let at_home: Vec<Uuid> = at_home.map(|resident| resident.id).collect();

        let member = (
            household_member::Entity,
            household_member::Column::ResidentId,
        );
        let of_household = (
            household_member::Entity,
            household_member::Column::HouseholdId,
        );
        let of_grant = (grant::Entity, grant::Column::HouseholdId);
        let mut by_resident = grant::Entity::find()
            .select_only()
            .column(grant::Column::ResidentId);
        let mut by_member = grant::Entity::find()
            .select_only()
            .column(household_member::Column::ResidentId);
        QuerySelect::query(&mut by_resident)
            .and_where(Expr::col((grant::Entity, grant::Column::ResidentId)).is_in(own));
        QuerySelect::query(&mut by_member)
            .inner_join(
                household_member::Entity,
                Expr::col(of_household).equals(of_grant),
            )
            .and_where(Expr::col(member).is_in(at_home));

        let mut granted: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for mut query in [by_resident, by_member] {
            let group = (
                device_group_member::Entity,
                device_group_member::Column::GroupId,
            );
            let ends_at = || Expr::col((grant::Entity, grant::Column::EndsAt));
            QuerySelect::query(&mut query)
                .left_join(
                    device_group_member::Entity,
                    Expr::col(group).equals((grant::Entity, grant::Column::GroupId)),
                )
                .and_where(ends_at().is_null().or(ends_at().gt(to_micros(now))));
            let rows: Vec<(Option<Uuid>, Option<Uuid>, Option<Uuid>)> = query
                .column(grant::Column::DeviceUid)
                .column(device_group_member::Column::DeviceUid)
                .into_tuple()
                .all(&self.db.read)
                .await?;
            for (resident, device, in_group) in rows {
                if let (Some(resident), Some(device)) = (resident, device.or(in_group)) {
                    granted.entry(resident).or_default().push(device);
                }
            }
        }
        Ok(granted)
    }

    pub(crate) async fn grant(&self, id: Uuid) -> Result<Option<StoredGrant>, Error> {
        let row = entity::grant::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        row.map(StoredGrant::try_from).transpose()
    }

    pub(crate) async fn list_grants(
        &self,
        filter: GrantFilter,
        page: Page,
    ) -> Result<Vec<StoredGrant>, Error> {
        use entity::grant::Column;
        let mut query = entity::grant::Entity::find().order_by_asc(Column::Id);
        query = match filter {
            GrantFilter::All => query,
            GrantFilter::Of(Holder::Resident(id)) => query.filter(Column::ResidentId.eq(id)),
            GrantFilter::Of(Holder::Household(id)) => query.filter(Column::HouseholdId.eq(id)),
            GrantFilter::On(Target::Device(uid)) => query.filter(Column::DeviceUid.eq(uid)),
            GrantFilter::On(Target::Group(id)) => query.filter(Column::GroupId.eq(id)),
        };
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        rows.into_iter().map(StoredGrant::try_from).collect()
    }

    pub(crate) async fn update_grant(
        &self,
        id: Uuid,
        change: GrantChange,
        if_match: IfMatch,
        telling: Entry,
    ) -> Result<StoredGrant, Error> {
        let store = self.clone();
        let windows = change.windows.as_deref().map(windows_text).transpose()?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::grant::{Column, Entity};
                    let grant = locked(txn, id).await?;
                    if_match.check(grant.version)?;
                    let who = match grant.holder {
                        Holder::Household(_) => None,
                        Holder::Resident(resident) => {
                            resident::check_present(txn, resident).await?;
                            log::name_in_logs(txn, resident).await?
                        }
                    };
                    let mut update = Entity::update_many()
                        .col_expr(Column::Version, Expr::col(Column::Version).add(1_i64))
                        .filter(Column::Id.eq(id));
                    if let Some(windows) = windows {
                        update = update.col_expr(Column::Windows, Expr::value(windows));
                    }
                    if let Some(end) = change.ends_at {
                        let end = end.map(to_micros);
                        update = update.col_expr(Column::EndsAt, Expr::value(end));
                    }
                    update.exec(txn).await?;
                    if let Some((read, ids)) = change.external_ids {
                        // Somebody else's ids of meanwhile would go.
                        if read != grant.version {
                            return Err(Error::EtagMismatch);
                        }
                        external_id::replace(txn, ids).await?;
                    }
                    let telling = store.new_entry(Entry { who, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    locked(txn, id).await
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn delete_grant(
        &self,
        id: Uuid,
        if_match: IfMatch,
        telling: Entry,
    ) -> Result<(), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::grant::Entity;
                    let Some(row) = Entity::find_by_id(id)
                        .lock(LockType::Update)
                        .one(txn)
                        .await?
                    else {
                        return Err(Error::NotFound(Noun::Grant));
                    };
                    if_match.check(Version(row.version))?;
                    Entity::delete_by_id(id).exec(txn).await?;
                    external_id::forget(txn, Object::Grant, vec![id]).await?;
                    let who = match row.resident_id {
                        Some(resident) => log::name_in_logs(txn, resident).await?,
                        None => None,
                    };
                    let telling = store.new_entry(Entry { who, ..telling }, None)?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

/// Refuses what is for a holder who is absent; whatever the right is on, the caller has looked at.
pub(super) async fn insert(
    txn: &DatabaseTransaction,
    grant: StoredGrant,
    external_ids: NewExternalIds,
    now: i64,
) -> Result<(), Error> {
    let (resident, household) = match grant.holder {
        Holder::Resident(id) => {
            resident::check_present(txn, id).await?;
            (Some(id), None)
        }
        Holder::Household(id) => {
            let household = entity::household::Entity::find_by_id(id)
                .lock(LockType::KeyShare)
                .one(txn)
                .await?;
            household.ok_or(Error::NotFound(Noun::Household))?;
            (None, Some(id))
        }
    };
    let (device, group) = match grant.target {
        Target::Device(uid) => (Some(uid), None),
        Target::Group(id) => (None, Some(id)),
    };
    entity::grant::Entity::insert(entity::grant::ActiveModel {
        id: Set(grant.id),
        resident_id: Set(resident),
        household_id: Set(household),
        device_uid: Set(device),
        group_id: Set(group),
        windows: Set(windows_text(&grant.windows)?),
        ends_at: Set(grant.ends_at.map(to_micros)),
        version: Set(grant.version.0),
        created_at: Set(now),
    })
    .exec_without_returning(txn)
    .await?;
    external_id::insert(txn, external_ids).await
}

/// Where the device or the group is; until the transaction ends, neither goes.
pub(super) async fn target_site(txn: &DatabaseTransaction, target: Target) -> Result<Uuid, Error> {
    use entity::{device, device_group};
    match target {
        Target::Device(uid) => {
            let row = device::Entity::find_by_id(uid)
                .lock(LockType::KeyShare)
                .one(txn)
                .await?;
            row.map(|row| row.site_id)
                .ok_or(Error::NotFound(Noun::Device))
        }
        Target::Group(id) => {
            let row = device_group::Entity::find_by_id(id)
                .lock(LockType::KeyShare)
                .one(txn)
                .await?;
            row.map(|row| row.site_id)
                .ok_or(Error::NotFound(Noun::DeviceGroup))
        }
    }
}

async fn locked(txn: &DatabaseTransaction, id: Uuid) -> Result<StoredGrant, Error> {
    let row = entity::grant::Entity::find_by_id(id)
        .lock(LockType::Update)
        .one(txn)
        .await?;
    row.ok_or(Error::NotFound(Noun::Grant))?.try_into()
}

#[cfg(test)]
mod tests;
