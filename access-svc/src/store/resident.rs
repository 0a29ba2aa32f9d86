use std::collections::{BTreeSet, HashMap, HashSet};

use audit_log::Entry;
use futures::FutureExt;
use mesh::crypto::Key;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockType, OnConflict},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Page, Store, context, entity, log};
use crate::error::{Error, Noun};

const NAME: &str = "resident name";

#[derive(Clone, Debug)]
pub(crate) struct Resident {
    pub(crate) id: Uuid,
    /// Under which the biometric store knows the resident; never leaves.
    pub(crate) subject: Uuid,
    pub(crate) audit_pseudonym: Uuid,
    pub(crate) suspended: bool,
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
        }
    }
}

impl Store {
    pub(crate) async fn insert_resident(
        &self,
        resident: Resident,
        name: Zeroizing<String>,
        sites: Vec<Uuid>,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        let (key, wrapped) = self.keyring.new_data_key(resident.id.as_bytes())?;
        let row = entity::resident::ActiveModel {
            id: Set(resident.id),
            subject_id: Set(resident.subject),
            audit_pseudonym: Set(resident.audit_pseudonym),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            name_sealed: Set(key.seal(name.as_bytes(), &context(NAME, resident.id))?),
            suspended: Set(resident.suspended),
            erasing: Set(false),
            created_at: Set(now),
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    entity::resident::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await?;
                    entity::resident_site::Entity::insert_many(sites.into_iter().map(|site| {
                        entity::resident_site::ActiveModel {
                            resident_id: Set(resident.id),
                            site_id: Set(site),
                        }
                    }))
                    .exec_without_returning(txn)
                    .await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// None for one who is absent or being erased.
    pub(crate) async fn resident(&self, id: Uuid) -> Result<Option<Resident>, Error> {
        let row = entity::resident::Entity::find_by_id(id)
            .filter(entity::resident::Column::Erasing.eq(false))
            .one(&self.db.read)
            .await?;
        Ok(row.as_ref().map(Resident::from))
    }

    /// Those that there are and that are not being erased, by subject.
    pub(crate) async fn residents_by_subject(
        &self,
        subjects: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Resident>, Error> {
        if subjects.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = entity::resident::Entity::find()
            .filter(entity::resident::Column::SubjectId.is_in(subjects))
            .filter(entity::resident::Column::Erasing.eq(false))
            .all(&self.db.read)
            .await?;
        Ok(rows
            .iter()
            .map(|row| (row.subject_id, Resident::from(row)))
            .collect())
    }

    pub(crate) async fn resident_by_subject(&self, id: Uuid) -> Result<Option<Resident>, Error> {
        let row = entity::resident::Entity::find()
            .filter(entity::resident::Column::SubjectId.eq(id))
            .filter(entity::resident::Column::Erasing.eq(false))
            .one(&self.db.read)
            .await?;
        Ok(row.as_ref().map(Resident::from))
    }

    pub(crate) async fn resident_by_audit_pseudonym(
        &self,
        who: Uuid,
    ) -> Result<Option<Resident>, Error> {
        let row = entity::resident::Entity::find()
            .filter(entity::resident::Column::AuditPseudonym.eq(who))
            .filter(entity::resident::Column::Erasing.eq(false))
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
        let rows = entity::resident::Entity::find()
            .filter(entity::resident::Column::Id.is_in(ids))
            .filter(entity::resident::Column::Erasing.eq(false))
            .all(&self.db.read)
            .await?;
        rows.iter()
            .map(|row| {
                let key = self.unwrap(row.epoch, &row.wrapped_key, row.id)?;
                Ok((row.id, (Resident::from(row), ResidentKey(key))))
            })
            .collect()
    }

    pub(crate) async fn resident_sites(&self, id: Uuid) -> Result<Vec<Uuid>, Error> {
        let rows = entity::resident_site::Entity::find()
            .filter(entity::resident_site::Column::ResidentId.eq(id))
            .order_by_asc(entity::resident_site::Column::SiteId)
            .all(&self.db.read)
            .await?;
        Ok(rows.into_iter().map(|row| row.site_id).collect())
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
        page: Page,
        with_names: bool,
    ) -> Result<Vec<(Resident, Option<Zeroizing<String>>)>, Error> {
        use entity::resident::Column;
        let mut query = entity::resident::Entity::find()
            .filter(Column::Erasing.eq(false))
            .order_by_asc(Column::Id);
        if let Some(after) = page.after {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        rows.iter()
            .map(|row| {
                let name = with_names.then(|| self.open_name(row)).transpose()?;
                Ok((Resident::from(row), name))
            })
            .collect()
    }

    fn open_name(&self, row: &entity::resident::Model) -> Result<Zeroizing<String>, Error> {
        let key = self.unwrap(row.epoch, &row.wrapped_key, row.id)?;
        let plain = key.open(&row.name_sealed, &context(NAME, row.id))?;
        std::str::from_utf8(&plain)
            .map(|text| Zeroizing::new(text.to_owned()))
            .map_err(|_| Error::Corrupt("resident name"))
    }

    pub(crate) async fn set_resident_state(
        &self,
        id: Uuid,
        suspended: bool,
        telling: Entry,
    ) -> Result<Resident, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::resident::Column;
                    entity::resident::Entity::update_many()
                        .col_expr(Column::Suspended, Expr::value(suspended))
                        .filter(Column::Id.eq(id))
                        .exec(txn)
                        .await?;
                    let row = entity::resident::Entity::find_by_id(id)
                        .filter(Column::Erasing.eq(false))
                        .one(txn)
                        .await?;
                    let row = row.ok_or(Error::NotFound(Noun::Resident))?;
                    let telling = Entry {
                        who: Some(row.audit_pseudonym),
                        ..telling
                    };
                    log::insert(txn, vec![store.new_entry(telling, None)?]).await?;
                    Ok(Resident::from(&row))
                }
                .boxed()
            })
            .await
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
    ) -> Result<Option<Resident>, Error> {
        let row = entity::pseudonym::Entity::find_by_id(pseudonym)
            .filter(entity::pseudonym::Column::PartnerId.eq(partner))
            .one(&self.db.read)
            .await?;
        match row {
            Some(row) => self.resident(row.resident_id).await,
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
