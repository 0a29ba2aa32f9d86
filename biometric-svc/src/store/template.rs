use futures::FutureExt;
use mesh::{
    clock::to_micros,
    crypto::Key,
    custody::Act,
    keyring::{Keyring, WrappedKey},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, Func, OnConflict},
};
use uuid::Uuid;

use super::{
    Store, act,
    change::hold_changes,
    consent_context,
    entity::{erasure, rotation, subject, template},
    template_context, to_bytes,
};
use crate::{error::Error, index::Protected};

/// A template to store.
pub(crate) struct NewTemplate {
    pub(crate) id: Uuid,
    pub(crate) subject: Uuid,
    pub(crate) model: String,
    pub(crate) model_version: String,
    pub(crate) rotation: i32,
    pub(crate) content: Protected,
    pub(crate) galleries: Vec<Uuid>,
    pub(crate) consent_reference: String,
    pub(crate) consented_at: i64,
    pub(crate) created_at: i64,
}

impl Store {
    /// Stores the template and its subject's galleries; answers once durable
    /// with the number of templates the subject has.
    pub(crate) async fn put(&self, new: NewTemplate) -> Result<usize, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    hold_changes(txn).await?;
                    let key = subject_key(txn, &store.keyring, &new).await?;
                    let (subject, at) = (new.subject, new.created_at);
                    put(txn, &key, new).await?;
                    store.record_change(txn, subject, at).await?;
                    let count = template::Entity::find()
                        .filter(template::Column::SubjectId.eq(subject))
                        .count(txn)
                        .await?;
                    Ok(usize::try_from(count).unwrap_or(usize::MAX))
                }
                .boxed()
            })
            .await
    }

    /// Stores templates of subjects that the store does not have yet, one each.
    #[cfg(feature = "bulk")]
    pub(crate) async fn put_new_subjects(&self, new: Vec<NewTemplate>) -> Result<(), Error> {
        let mut subjects = Vec::with_capacity(new.len());
        let mut templates = Vec::with_capacity(new.len());
        for new in new {
            let (key, wrapped) = self.keyring.new_data_key(new.subject.as_bytes())?;
            subjects.push(subject_row(&new, wrapped));
            templates.push(template_row(&key, new)?);
        }
        self.db
            .writer
            .write(move |txn| {
                async move {
                    subject::Entity::insert_many(subjects)
                        .exec_without_returning(txn)
                        .await?;
                    template::Entity::insert_many(templates)
                        .exec_without_returning(txn)
                        .await?;
                    Ok(())
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
        at: i64,
    ) -> Result<bool, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    hold_changes(txn).await?;
                    if !set_galleries(txn, subject, &galleries).await? {
                        return Ok(false);
                    }
                    store.record_change(txn, subject, at).await?;
                    Ok(true)
                }
                .boxed()
            })
            .await
    }

    /// Deletes the templates of a model's version, and its rotations; how many
    /// templates there were.
    pub(crate) async fn forget_model(
        &self,
        model: String,
        version: String,
        act: Act,
    ) -> Result<u64, Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    hold_changes(txn).await?;
                    let of_model = Condition::all()
                        .add(template::Column::Model.eq(model.as_str()))
                        .add(template::Column::ModelVersion.eq(version.as_str()));
                    let subjects: Vec<Uuid> = template::Entity::find()
                        .select_only()
                        .column(template::Column::SubjectId)
                        .distinct()
                        .filter(of_model.clone())
                        .into_tuple()
                        .all(txn)
                        .await?;
                    for subject in subjects {
                        store.record_change(txn, subject, to_micros(act.at)).await?;
                    }
                    let gone = template::Entity::delete_many()
                        .filter(of_model)
                        .exec(txn)
                        .await?;
                    let rotations = rotation::Entity::delete_many()
                        .filter(rotation::Column::Model.eq(model.as_str()))
                        .filter(rotation::Column::Version.eq(version.as_str()))
                        .exec(txn)
                        .await?;
                    // A call again that found nothing to do is no act.
                    if gone.rows_affected + rotations.rows_affected > 0 {
                        act::insert(txn, act).await?;
                    }
                    Ok(gone.rows_affected)
                }
                .boxed()
            })
            .await
    }

    /// How many templates each model and version has, and of how many subjects.
    pub(crate) async fn templates_by_model(
        &self,
    ) -> Result<Vec<(String, String, i64, i64)>, Error> {
        Ok(template::Entity::find()
            .select_only()
            .column(template::Column::Model)
            .column(template::Column::ModelVersion)
            .column_as(template::Column::SubjectId.count(), "templates")
            .expr_as(
                Func::count_distinct(Expr::col(template::Column::SubjectId)),
                "subjects",
            )
            .group_by(template::Column::Model)
            .group_by(template::Column::ModelVersion)
            .order_by_asc(template::Column::Model)
            .order_by_asc(template::Column::ModelVersion)
            .into_tuple()
            .all(&self.db.read)
            .await?)
    }

    /// Rewrites the template's content under the subject's key.
    pub(crate) async fn replace_content(
        &self,
        subject: Uuid,
        id: Uuid,
        rotation: i32,
        content: Protected,
    ) -> Result<(), Error> {
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let subject = subject::Entity::find_by_id(subject).one(txn).await?;
                    let row = template::Entity::find_by_id(id).one(txn).await?;
                    let (Some(subject), Some(mut row)) = (subject, row) else {
                        return Ok(());
                    };
                    row.rotation = rotation;
                    let sealed = store
                        .unwrap(&subject)?
                        .seal(&content.0, &template_context(&row))?;
                    template::Entity::update_many()
                        .col_expr(template::Column::Sealed, Expr::value(sealed))
                        .col_expr(template::Column::Rotation, Expr::value(rotation))
                        .filter(template::Column::Id.eq(id))
                        .exec(txn)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

async fn put(txn: &impl ConnectionTrait, key: &Key, new: NewTemplate) -> Result<(), Error> {
    let previous = template::Entity::find_by_id(new.id).one(txn).await?;
    if previous.is_some_and(|previous| previous.subject_id != new.subject) {
        return Err(Error::InvalidField {
            field: "template_id",
            detail: "is of another subject",
        });
    }
    let (subject, galleries) = (new.subject, new.galleries.clone());
    let row = template_row(key, new)?;
    template::Entity::insert(row)
        .on_conflict(
            OnConflict::column(template::Column::Id)
                .update_columns([
                    template::Column::Model,
                    template::Column::ModelVersion,
                    template::Column::Rotation,
                    template::Column::Sealed,
                    template::Column::ConsentSealed,
                    template::Column::ConsentedAt,
                    template::Column::CreatedAt,
                ])
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    set_galleries(txn, subject, &galleries).await?;
    Ok(())
}

fn template_row(key: &Key, new: NewTemplate) -> Result<template::ActiveModel, Error> {
    let mut row = template::Model {
        id: new.id,
        subject_id: new.subject,
        model: new.model,
        model_version: new.model_version,
        rotation: new.rotation,
        sealed: vec![],
        consent_sealed: vec![],
        consented_at: new.consented_at,
        created_at: new.created_at,
    };
    row.sealed = key.seal(&new.content.0, &template_context(&row))?;
    row.consent_sealed = key.seal(new.consent_reference.as_bytes(), &consent_context(&row))?;
    Ok(row.into())
}

fn subject_row(new: &NewTemplate, wrapped: WrappedKey) -> subject::ActiveModel {
    subject::ActiveModel {
        id: Set(new.subject),
        epoch: Set(wrapped.epoch),
        wrapped_key: Set(wrapped.sealed),
        galleries: Set(to_bytes(&new.galleries)),
        created_at: Set(new.created_at),
    }
}

async fn set_galleries(
    txn: &impl ConnectionTrait,
    subject: Uuid,
    galleries: &[Uuid],
) -> Result<bool, Error> {
    let updated = subject::Entity::update_many()
        .col_expr(subject::Column::Galleries, Expr::value(to_bytes(galleries)))
        .filter(subject::Column::Id.eq(subject))
        .exec(txn)
        .await?;
    Ok(updated.rows_affected > 0)
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
    // Who was erased stays so, however late an enrolment comes.
    let erased = erasure::Entity::find_by_id(new.subject).one(txn).await?;
    if erased.is_some() {
        return Err(Error::SubjectNotFound);
    }
    let (key, wrapped) = keyring.new_data_key(new.subject.as_bytes())?;
    subject::Entity::insert(subject_row(new, wrapped))
        .exec_without_returning(txn)
        .await?;
    Ok(key)
}
