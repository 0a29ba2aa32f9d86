mod sites;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{clock::from_micros, crypto::Key};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
    sea_query::{LockType, OnConflict},
};
pub(super) use sites::{add_sites, settle, sites_of, touch};
use sites::{households_of, sites_of_households};
use uuid::Uuid;
pub(super) use write::residents_row;
pub(crate) use write::{NewPerson, ResidentChange};
use zeroize::Zeroizing;

use super::{Page, Store, context, entity};
use crate::{
    domain::{
        etag::Version,
        external_id::{ExternalIds, Object},
    },
    error::{Error, Noun},
};

pub(super) const NAME: &str = "resident name";

#[derive(Clone, Debug)]
pub(crate) struct Resident {
    pub(crate) id: Uuid,
    /// Under which the biometric store knows the resident; never leaves.
    pub(crate) subject: Uuid,
    pub(crate) audit_pseudonym: Uuid,
    pub(crate) suspended: bool,
    /// The household whose guest this is.
    pub(crate) host: Option<Uuid>,
    pub(crate) guest_until: Option<Timestamp>,
    pub(crate) version: Version,
}

impl Resident {
    /// False for a guest whose end has passed: recognised no more, and about to be erased.
    pub(crate) fn is_here(&self, now: Timestamp) -> bool {
        self.guest_until.is_none_or(|end| now < end)
    }
}

/// A resident with all that callers are told.
pub(crate) struct ToldResident {
    pub(crate) resident: Resident,
    /// Where it was asked for.
    pub(crate) name: Option<Zeroizing<String>>,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) households: Vec<Uuid>,
    pub(crate) external_ids: ExternalIds,
}

/// A resident's own data key.
pub(crate) struct ResidentKey(pub(super) Key);

impl From<&entity::resident::Model> for Resident {
    fn from(row: &entity::resident::Model) -> Self {
        Self {
            id: row.id,
            subject: row.subject_id,
            audit_pseudonym: row.audit_pseudonym,
            suspended: row.suspended,
            host: row.host_household_id,
            guest_until: row.guest_until.map(from_micros),
            version: Version(row.version),
        }
    }
}

/// Those who are not being erased.
pub(super) fn there() -> Select<entity::resident::Entity> {
    entity::resident::Entity::find().filter(entity::resident::Column::Erasing.eq(false))
}

impl Store {
    /// None for one who is absent or being erased.
    pub(crate) async fn resident(&self, id: Uuid) -> Result<Option<Resident>, Error> {
        let row = there()
            .filter(entity::resident::Column::Id.eq(id))
            .one(&self.db.read)
            .await?;
        Ok(row.as_ref().map(Resident::from))
    }

    /// Those that are there now, by subject.
    pub(crate) async fn residents_by_subject(
        &self,
        subjects: Vec<Uuid>,
        now: Timestamp,
    ) -> Result<HashMap<Uuid, Resident>, Error> {
        if subjects.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = there()
            .filter(entity::resident::Column::SubjectId.is_in(subjects))
            .all(&self.db.read)
            .await?;
        let residents = rows.iter().map(Resident::from);
        Ok(residents
            .filter(|resident| resident.is_here(now))
            .map(|resident| (resident.subject, resident))
            .collect())
    }

    pub(crate) async fn resident_by_subject(
        &self,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Option<Resident>, Error> {
        let mut found = self.residents_by_subject(vec![id], now).await?;
        Ok(found.remove(&id))
    }

    pub(crate) async fn resident_by_audit_pseudonym(
        &self,
        who: Uuid,
    ) -> Result<Option<Resident>, Error> {
        let row = there()
            .filter(entity::resident::Column::AuditPseudonym.eq(who))
            .one(&self.db.read)
            .await?;
        Ok(row.as_ref().map(Resident::from))
    }

    pub(crate) async fn resident_key(&self, id: Uuid) -> Result<Option<ResidentKey>, Error> {
        let row = entity::resident::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        row.map(|row| {
            self.unwrap(row.epoch, &row.wrapped_key, row.id)
                .map(ResidentKey)
        })
        .transpose()
    }

    /// Of those that there are, by resident.
    pub(crate) async fn resident_keys(
        &self,
        ids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, ResidentKey>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = entity::resident::Entity::find()
            .filter(entity::resident::Column::Id.is_in(ids))
            .all(&self.db.read)
            .await?;
        rows.into_iter()
            .map(|row| {
                let key = self.unwrap(row.epoch, &row.wrapped_key, row.id)?;
                Ok((row.id, ResidentKey(key)))
            })
            .collect()
    }

    /// Of those that there are and that are not being erased, by id.
    pub(crate) async fn residents_with_keys(
        &self,
        ids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, (Resident, ResidentKey)>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = there()
            .filter(entity::resident::Column::Id.is_in(ids))
            .all(&self.db.read)
            .await?;
        rows.iter()
            .map(|row| {
                let key = self.unwrap(row.epoch, &row.wrapped_key, row.id)?;
                Ok((row.id, (Resident::from(row), ResidentKey(key))))
            })
            .collect()
    }

    /// Which of these residents live at one of these sites.
    pub(crate) async fn residents_at(
        &self,
        residents: Vec<Uuid>,
        sites: &[Uuid],
    ) -> Result<Vec<Uuid>, Error> {
        let rows = entity::resident_site::Entity::find()
            .filter(entity::resident_site::Column::ResidentId.is_in(residents))
            .filter(entity::resident_site::Column::SiteId.is_in(sites.iter().copied()))
            .all(&self.db.read)
            .await?;
        Ok(rows.into_iter().map(|row| row.resident_id).collect())
    }

    /// With names only where asked for.
    pub(crate) async fn list_residents(
        &self,
        site: Option<Uuid>,
        page: Page,
        with_names: bool,
    ) -> Result<Vec<ToldResident>, Error> {
        use entity::{resident::Column, resident_site};
        let mut query = there().order_by_asc(Column::Id);
        if let Some(site) = site {
            let here = resident_site::Entity::find()
                .select_only()
                .column(resident_site::Column::ResidentId)
                .filter(resident_site::Column::SiteId.eq(site));
            query = query.filter(Column::Id.in_subquery(here.into_query()));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        self.told(rows, with_names).await
    }

    pub(crate) async fn told_resident(
        &self,
        id: Uuid,
        with_name: bool,
    ) -> Result<Option<ToldResident>, Error> {
        let rows = there()
            .filter(entity::resident::Column::Id.eq(id))
            .all(&self.db.read)
            .await?;
        Ok(self.told(rows, with_name).await?.pop())
    }

    async fn told(
        &self,
        rows: Vec<entity::resident::Model>,
        with_names: bool,
    ) -> Result<Vec<ToldResident>, Error> {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut sites = sites_of(&self.db.read, ids.clone()).await?;
        let mut households = households_of(&self.db.read, ids.clone()).await?;
        let mut external_ids = self.external_ids(Object::Resident, ids).await?;
        rows.iter()
            .map(|row| {
                Ok(ToldResident {
                    resident: Resident::from(row),
                    name: with_names.then(|| self.open_name(row)).transpose()?,
                    sites: sites.remove(&row.id).unwrap_or_default(),
                    households: households.remove(&row.id).unwrap_or_default(),
                    external_ids: external_ids.remove(&row.id).unwrap_or_default(),
                })
            })
            .collect()
    }

    pub(super) fn open_name(
        &self,
        row: &entity::resident::Model,
    ) -> Result<Zeroizing<String>, Error> {
        let key = self.unwrap(row.epoch, &row.wrapped_key, row.id)?;
        let plain = key.open(&row.name_sealed, &context(NAME, row.id))?;
        std::str::from_utf8(&plain)
            .map(|text| Zeroizing::new(text.to_owned()))
            .map_err(|_| Error::Corrupt("resident name"))
    }

    /// Writes down whom a pairwise pseudonym means, unless that one is erased
    /// meanwhile.
    pub(crate) async fn remember_pseudonyms(
        &self,
        mut pseudonyms: Vec<(String, Uuid, Uuid)>,
    ) -> Result<(), Error> {
        if pseudonyms.is_empty() {
            return Ok(());
        }
        // One order everywhere, or two replicas lock each other out.
        pseudonyms.sort();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::pseudonym::{ActiveModel, Column, Entity};
                    let residents: Vec<Uuid> = pseudonyms.iter().map(|(.., id)| *id).collect();
                    let there = present(txn, residents).await?;
                    let rows = pseudonyms
                        .into_iter()
                        .filter(|(.., resident)| there.contains(resident))
                        .map(|(pseudonym, partner, resident)| ActiveModel {
                            pseudonym: Set(pseudonym),
                            partner_id: Set(partner),
                            resident_id: Set(resident),
                        });
                    Entity::insert_many(rows)
                        .on_conflict(
                            OnConflict::column(Column::Pseudonym)
                                .do_nothing()
                                .to_owned(),
                        )
                        .exec_without_returning(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn resident_by_pseudonym(
        &self,
        pseudonym: &str,
        partner: Uuid,
        now: Timestamp,
    ) -> Result<Option<Resident>, Error> {
        let row = entity::pseudonym::Entity::find_by_id(pseudonym)
            .filter(entity::pseudonym::Column::PartnerId.eq(partner))
            .one(&self.db.read)
            .await?;
        match row {
            Some(row) => {
                let resident = self.resident(row.resident_id).await?;
                Ok(resident.filter(|resident| resident.is_here(now)))
            }
            None => Ok(None),
        }
    }
}

/// Those of them who are there and not being erased. Until the transaction
/// ends an erasure waits: what is written for them is not written after it.
pub(super) async fn present(
    txn: &impl ConnectionTrait,
    residents: Vec<Uuid>,
) -> Result<HashSet<Uuid>, Error> {
    use entity::resident::{Column, Entity};
    let residents: BTreeSet<Uuid> = residents.into_iter().collect();
    if residents.is_empty() {
        return Ok(HashSet::new());
    }
    let found: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(residents))
        .filter(Column::Erasing.eq(false))
        .order_by_asc(Column::Id)
        // Gives way to everything but the row's end: rewrapping goes on.
        .lock(LockType::KeyShare)
        .into_tuple()
        .all(txn)
        .await?;
    Ok(found.into_iter().collect())
}

/// Refuses what comes for somebody who is absent or being erased.
pub(super) async fn check_present(txn: &impl ConnectionTrait, resident: Uuid) -> Result<(), Error> {
    if present(txn, vec![resident]).await?.is_empty() {
        return Err(Error::NotFound(Noun::Resident));
    }
    Ok(())
}

/// The row, held until the transaction ends: what is written for the resident waits.
pub(super) async fn held(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<entity::resident::Model, Error> {
    let row = there()
        .filter(entity::resident::Column::Id.eq(id))
        .lock_exclusive()
        .one(txn)
        .await?;
    row.ok_or(Error::NotFound(Noun::Resident))
}
