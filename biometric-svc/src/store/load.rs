//! Reading what the index is made of.

use std::{collections::BTreeSet, pin::pin};

use futures::TryStreamExt;
use mesh::keyring::{KeyringError, WrappedKey};
use sea_orm::{
    ColumnTrait, EntityTrait, JoinType, PaginatorTrait, QueryFilter, QuerySelect, RelationTrait,
};
use tokio::task;
use uuid::Uuid;

use super::{
    Store, StoredSubject, StoredTemplate,
    entity::{subject, template},
    from_bytes, template_context,
};
use crate::{error::Error, index::Protected};

/// Rows opened in one piece of work.
const TOGETHER: usize = 512;
/// Pieces opened at once, on other threads, while the next rows are read.
const AHEAD: usize = 4;

/// In the order of [`Row`]'s fields: found by place, which a million rows feel.
type Columns = (
    Uuid,
    Uuid,
    String,
    String,
    i32,
    Vec<u8>,
    i64,
    Vec<u8>,
    Vec<u8>,
);

/// A template with its subject's key and galleries.
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

impl From<Columns> for Row {
    fn from(columns: Columns) -> Self {
        let (id, subject_id, model, model_version, rotation, sealed, epoch, wrapped_key, galleries) =
            columns;
        Self {
            id,
            subject_id,
            model,
            model_version,
            rotation,
            sealed,
            epoch,
            wrapped_key,
            galleries,
        }
    }
}

/// A row as far as it opens.
struct Opened {
    id: Uuid,
    subject: Uuid,
    galleries: Vec<Uuid>,
    template: Option<StoredTemplate>,
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
        let rows = template::Entity::find()
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
            .into_tuple::<Columns>()
            .stream(&self.db.read)
            .await?;
        let store = self.clone();
        let opened = rows
            .try_chunks(TOGETHER)
            .map_err(|failed| Error::from(failed.1))
            .map_ok(move |rows| {
                let store = store.clone();
                async move {
                    task::spawn_blocking(move || store.open_all(rows))
                        .await
                        .map_err(|_| Error::Task)?
                }
            })
            .try_buffered(AHEAD);
        let mut opened = pin!(opened);
        let mut corrupt = Vec::new();
        while let Some(rows) = opened.try_next().await? {
            for row in rows {
                match row.template {
                    Some(template) => each(row.subject, &row.galleries, template),
                    None => corrupt.push((row.subject, row.id)),
                }
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

    fn open_all(&self, rows: Vec<Columns>) -> Result<Vec<Opened>, Error> {
        let opened = rows.into_iter().map(|columns| -> Result<Opened, Error> {
            let row = Row::from(columns);
            Ok(Opened {
                id: row.id,
                subject: row.subject_id,
                galleries: from_bytes(&row.galleries),
                template: self.open_unless_corrupt(row)?,
            })
        });
        opened.collect()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::future::join_all;
    use sea_orm::sea_query::Expr;
    use zeroize::Zeroizing;

    use super::*;
    use crate::store::{NewTemplate, testing::store};

    fn id(number: usize) -> Uuid {
        Uuid::from_u128(number as u128 + 1)
    }

    /// Two templates a subject.
    fn numbered(number: usize) -> NewTemplate {
        NewTemplate {
            id: id(number),
            subject: id(1_000_000 + number / 2),
            model: "m".into(),
            model_version: "1".into(),
            rotation: 1,
            content: Protected(Zeroizing::new(number.to_le_bytes().to_vec())),
            galleries: vec![id(2_000_000), id(3_000_000 + number / 2)],
            consent_reference: "signed form 1".into(),
            consented_at: 0,
            created_at: 0,
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_row_is_handed_on_once_and_those_that_do_not_open_are_named() {
        let (store, _folder) = store().await;
        assert!(store.load(|_, _, _| ()).await.expect("read").is_empty());

        // More than are opened together, and some.
        let count = 2 * TOGETHER + 7;
        for stored in join_all((0..count).map(|n| store.put(numbered(n)))).await {
            stored.expect("stored");
        }
        let damaged = [3, TOGETHER, count - 1];
        for number in damaged {
            template::Entity::update_many()
                .col_expr(template::Column::Sealed, Expr::value(vec![0_u8; 40]))
                .filter(template::Column::Id.eq(id(number)))
                .exec(&store.db.read)
                .await
                .expect("damaged");
        }

        let mut found = BTreeMap::new();
        let corrupt = store.load(|subject, galleries, stored| {
            let content = stored.content.0.to_vec();
            let before = found.insert(stored.id, (subject, galleries.to_vec(), content));
            assert!(before.is_none(), "twice");
        });
        let corrupt = BTreeSet::from_iter(corrupt.await.expect("read"));
        let of = |number: usize| {
            let template = numbered(number);
            (template.subject, template.id)
        };
        assert_eq!(corrupt, BTreeSet::from(damaged.map(of)));
        assert_eq!(found.len(), count - damaged.len());
        for number in (0..count).filter(|number| !damaged.contains(number)) {
            let template = numbered(number);
            let (subject, galleries, content) = &found[&template.id];
            assert_eq!(*subject, template.subject);
            assert_eq!(*galleries, template.galleries);
            assert_eq!(*content, number.to_le_bytes());
        }
    }
}
