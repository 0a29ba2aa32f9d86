//! Reading what the index is made of.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use mesh::keyring::{KeyringError, WrappedKey};
use sea_orm::{
    ColumnTrait, EntityTrait, FromQueryResult, JoinType, PaginatorTrait, QueryFilter, QuerySelect,
    RelationTrait,
};
use uuid::Uuid;

use super::{
    Store, StoredSubject, StoredTemplate,
    entity::{subject, template},
    from_bytes, template_context,
};
use crate::{error::Error, index::Protected};

/// A template with its subject's key and galleries.
#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    subject_id: Uuid,
    model: String,
    model_version: String,
    rotation: i32,
    sealed: Vec<u8>,
    epoch: i64,
    wrapped_key: Vec<u8>,
    galleries: Vec<u8>,
}

impl Store {
    pub(crate) async fn count_templates(&self) -> Result<u64, Error> {
        Ok(template::Entity::find().count(&self.db.read).await?)
    }

    pub(crate) async fn count_subjects(&self) -> Result<u64, Error> {
        Ok(subject::Entity::find().count(&self.db.read).await?)
    }

    /// Fails when a subject's key is of an epoch that the keyring lacks, for
    /// then a wrong keyring is mounted.
    pub(crate) async fn check_epochs(&self) -> Result<(), Error> {
        let epochs: Vec<i64> = subject::Entity::find()
            .select_only()
            .column(subject::Column::Epoch)
            .distinct()
            .into_tuple()
            .all(&self.db.read)
            .await?;
        for epoch in BTreeSet::from_iter(epochs) {
            self.keyring.epoch(epoch)?;
        }
        Ok(())
    }

    /// Hands every template on, with its subject and galleries; those whose
    /// rows do not open are left out and named, by subject and id.
    pub(crate) async fn load(
        &self,
        mut each: impl FnMut(Uuid, &[Uuid], StoredTemplate),
    ) -> Result<Vec<(Uuid, Uuid)>, Error> {
        let mut rows = template::Entity::find()
            .select_only()
            .columns([
                template::Column::Id,
                template::Column::SubjectId,
                template::Column::Model,
                template::Column::ModelVersion,
                template::Column::Rotation,
                template::Column::Sealed,
            ])
            .columns([
                subject::Column::Epoch,
                subject::Column::WrappedKey,
                subject::Column::Galleries,
            ])
            .join(JoinType::InnerJoin, template::Relation::Subject.def())
            .into_model::<Row>()
            .stream(&self.db.read)
            .await?;
        let mut corrupt = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let (subject, id, galleries) = (row.subject_id, row.id, from_bytes(&row.galleries));
            match self.open_unless_corrupt(row)? {
                Some(template) => each(subject, &galleries, template),
                None => corrupt.push((subject, id)),
            }
        }
        Ok(corrupt)
    }

    /// None when there is no such subject (any more).
    pub(crate) async fn subject(&self, id: Uuid) -> Result<Option<StoredSubject>, Error> {
        let Some(subject) = subject::Entity::find_by_id(id).one(&self.db.read).await? else {
            return Ok(None);
        };
        let rows = template::Entity::find()
            .filter(template::Column::SubjectId.eq(id))
            .all(&self.db.read)
            .await?;
        let (mut templates, mut corrupt) = (Vec::new(), Vec::new());
        for row in rows {
            let template = row.id;
            let opened = self.open_unless_corrupt(Row {
                id: row.id,
                subject_id: row.subject_id,
                model: row.model,
                model_version: row.model_version,
                rotation: row.rotation,
                sealed: row.sealed,
                epoch: subject.epoch,
                wrapped_key: subject.wrapped_key.clone(),
                galleries: vec![],
            })?;
            match opened {
                Some(opened) => templates.push(opened),
                None => corrupt.push(template),
            }
        }
        Ok(Some(StoredSubject {
            galleries: from_bytes(&subject.galleries),
            templates,
            corrupt,
        }))
    }

    /// Fails where an epoch is missing: then not the row is wrong but the
    /// keyring.
    fn open_unless_corrupt(&self, row: Row) -> Result<Option<StoredTemplate>, Error> {
        match self.open(row) {
            Ok(template) => Ok(Some(template)),
            Err(Error::Keyring(KeyringError::MissingEpoch(epoch))) => {
                Err(KeyringError::MissingEpoch(epoch).into())
            }
            Err(_) => Ok(None),
        }
    }

    fn open(&self, row: Row) -> Result<StoredTemplate, Error> {
        let wrapped = WrappedKey {
            epoch: row.epoch,
            sealed: row.wrapped_key,
        };
        let key = self.keyring.unwrap(&wrapped, row.subject_id.as_bytes())?;
        let template = template::Model {
            id: row.id,
            subject_id: row.subject_id,
            model: row.model,
            model_version: row.model_version,
            rotation: row.rotation,
            sealed: vec![],
            consent_sealed: vec![],
            consented_at: 0,
            created_at: 0,
        };
        let content = key.open(&row.sealed, &template_context(&template))?;
        Ok(StoredTemplate {
            id: template.id,
            model: template.model,
            model_version: template.model_version,
            rotation: template.rotation,
            content: Protected(content),
        })
    }
}
