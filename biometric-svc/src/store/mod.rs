//! Templates at rest: each subject's under a data key of that subject's own.

#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
mod entity;
pub(crate) mod migration;

use std::collections::HashMap;

use futures::FutureExt;
use mesh::{
    crypto::Key,
    db::Db,
    keyring::{Keyring, WrappedKey},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::OnConflict,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use self::entity::{gallery, subject, template};
use crate::error::Error;

/// A template to store; its vector as little-endian float32.
pub(crate) struct NewTemplate {
    pub(crate) id: Uuid,
    pub(crate) subject: Uuid,
    pub(crate) model: String,
    pub(crate) model_version: String,
    pub(crate) vector: Zeroizing<Vec<u8>>,
    pub(crate) galleries: Vec<Uuid>,
    pub(crate) consent_reference: String,
    pub(crate) consented_at: i64,
    pub(crate) created_at: i64,
}

/// A template as it was stored.
pub(crate) struct StoredTemplate {
    pub(crate) id: Uuid,
    pub(crate) subject: Uuid,
    pub(crate) model: String,
    pub(crate) vector: Zeroizing<Vec<u8>>,
}

/// Everything the index is made of.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) templates: Vec<StoredTemplate>,
    pub(crate) galleries: HashMap<Uuid, Vec<Uuid>>,
    /// Rows that do not open under their subject's key.
    pub(crate) corrupt: usize,
}

#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
    keyring: Keyring,
}

impl Store {
    pub(crate) fn new(db: Db, keyring: Keyring) -> Self {
        Self { db, keyring }
    }

    /// Fails when a subject's key is of an epoch that the keyring lacks; a row
    /// that is merely damaged is counted and left out.
    pub(crate) async fn load(&self) -> Result<Loaded, Error> {
        let mut keys = HashMap::new();
        let mut loaded = Loaded::default();
        for row in subject::Entity::find().all(&self.db.read).await? {
            self.keyring.epoch(row.epoch)?;
            match self.unwrap(&row) {
                Ok(key) => {
                    keys.insert(row.id, key);
                }
                Err(_) => loaded.corrupt += 1,
            }
        }
        let rows = template::Entity::find()
            .order_by_asc(template::Column::Id)
            .all(&self.db.read)
            .await?;
        for row in rows {
            let opened = keys
                .get(&row.subject_id)
                .and_then(|key| key.open(&row.sealed, &template_context(&row)).ok());
            match opened {
                Some(vector) => loaded.templates.push(StoredTemplate {
                    id: row.id,
                    subject: row.subject_id,
                    model: row.model,
                    vector,
                }),
                None => loaded.corrupt += 1,
            }
        }
        for row in gallery::Entity::find().all(&self.db.read).await? {
            loaded
                .galleries
                .entry(row.subject_id)
                .or_default()
                .push(row.gallery_id);
        }
        Ok(loaded)
    }

    /// Stores the template and its subject's galleries; answers once durable
    /// with the number of templates the subject has.
    pub(crate) async fn put(&self, new: NewTemplate) -> Result<usize, Error> {
        let keyring = self.keyring.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let key = subject_key(txn, &keyring, &new).await?;
                    let mut row = template::Model {
                        id: new.id,
                        subject_id: new.subject,
                        model: new.model,
                        model_version: new.model_version,
                        sealed: vec![],
                        consent_sealed: vec![],
                        consented_at: new.consented_at,
                        created_at: new.created_at,
                    };
                    row.sealed = key.seal(&new.vector, &template_context(&row))?;
                    row.consent_sealed =
                        key.seal(new.consent_reference.as_bytes(), &consent_context(&row))?;
                    let previous = template::Entity::find_by_id(row.id).one(txn).await?;
                    if previous.is_some_and(|p| p.subject_id != new.subject) {
                        return Err(Error::InvalidField {
                            field: "template_id",
                            detail: "is of another subject",
                        });
                    }
                    template::Entity::insert(template::ActiveModel::from(row))
                        .on_conflict(
                            OnConflict::column(template::Column::Id)
                                .update_columns([
                                    template::Column::Model,
                                    template::Column::ModelVersion,
                                    template::Column::Sealed,
                                    template::Column::ConsentSealed,
                                    template::Column::ConsentedAt,
                                    template::Column::CreatedAt,
                                ])
                                .to_owned(),
                        )
                        .exec_without_returning(txn)
                        .await?;
                    replace_galleries(txn, new.subject, &new.galleries).await?;
                    let rows = template::Entity::find()
                        .filter(template::Column::SubjectId.eq(new.subject))
                        .all(txn)
                        .await?;
                    Ok(rows.len())
                }
                .boxed()
            })
            .await
    }

    /// False when the subject is not enrolled.
    pub(crate) async fn set_galleries(
        &self,
        subject: Uuid,
        galleries: Vec<Uuid>,
    ) -> Result<bool, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    if subject::Entity::find_by_id(subject)
                        .one(txn)
                        .await?
                        .is_none()
                    {
                        return Ok(false);
                    }
                    replace_galleries(txn, subject, &galleries).await?;
                    Ok(true)
                }
                .boxed()
            })
            .await
    }

    /// The key goes with the rows, in one commit; templates destroyed.
    pub(crate) async fn erase(&self, subject: Uuid) -> Result<u64, Error> {
        self.db
            .writer
            .write(move |txn| {
                async move {
                    subject::Entity::delete_by_id(subject).exec(txn).await?;
                    gallery::Entity::delete_many()
                        .filter(gallery::Column::SubjectId.eq(subject))
                        .exec(txn)
                        .await?;
                    let gone = template::Entity::delete_many()
                        .filter(template::Column::SubjectId.eq(subject))
                        .exec(txn)
                        .await?;
                    Ok(gone.rows_affected)
                }
                .boxed()
            })
            .await
    }

    fn unwrap(&self, row: &subject::Model) -> Result<Key, Error> {
        Ok(self.keyring.unwrap(
            &WrappedKey {
                epoch: row.epoch,
                sealed: row.wrapped_key.clone(),
            },
            row.id.as_bytes(),
        )?)
    }
}

async fn subject_key(
    txn: &impl ConnectionTrait,
    keyring: &Keyring,
    new: &NewTemplate,
) -> Result<Key, Error> {
    if let Some(row) = subject::Entity::find_by_id(new.subject).one(txn).await? {
        let wrapped = WrappedKey {
            epoch: row.epoch,
            sealed: row.wrapped_key,
        };
        return Ok(keyring.unwrap(&wrapped, row.id.as_bytes())?);
    }
    let (key, wrapped) = keyring.new_data_key(new.subject.as_bytes())?;
    subject::Entity::insert(subject::ActiveModel {
        id: Set(new.subject),
        epoch: Set(wrapped.epoch),
        wrapped_key: Set(wrapped.sealed),
        created_at: Set(new.created_at),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(key)
}

async fn replace_galleries(
    txn: &impl ConnectionTrait,
    subject: Uuid,
    galleries: &[Uuid],
) -> Result<(), Error> {
    gallery::Entity::delete_many()
        .filter(gallery::Column::SubjectId.eq(subject))
        .exec(txn)
        .await?;
    if galleries.is_empty() {
        return Ok(());
    }
    gallery::Entity::insert_many(galleries.iter().map(|id| gallery::ActiveModel {
        subject_id: Set(subject),
        gallery_id: Set(*id),
    }))
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

fn template_context(row: &template::Model) -> Vec<u8> {
    context(b"template vector\0", row)
}

fn consent_context(row: &template::Model) -> Vec<u8> {
    context(b"consent reference\0", row)
}

/// Binds a ciphertext to its row, subject and model: a swapped one fails.
fn context(purpose: &[u8], row: &template::Model) -> Vec<u8> {
    let mut context = purpose.to_vec();
    context.extend_from_slice(row.subject_id.as_bytes());
    context.extend_from_slice(row.id.as_bytes());
    for part in [&row.model, &row.model_version] {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}
