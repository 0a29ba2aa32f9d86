use std::sync::Arc;

use face_index::{Code, Renewal, Rotation};
use futures::FutureExt;
use mesh::{clock::to_micros, custody::Act, db::is_unique_violation, keyring::WrappedKey};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{
    Store, act,
    change::hold_changes,
    entity::{rotation, subject, template},
    template_context,
};
use crate::{domain::model::Model, error::Error};

/// A rotation and its number.
pub(crate) struct RotationOf {
    pub(crate) number: i32,
    pub(crate) rotation: Rotation,
}

impl Store {
    /// The newest rotation of the model, made if there is none; replicas that
    /// start together agree on the one that was written first.
    pub(crate) async fn rotation(
        &self,
        model: &Model,
        now: jiff::Timestamp,
    ) -> Result<RotationOf, Error> {
        if let Some(newest) = self.rotations(model).await?.pop() {
            return Ok(newest);
        }
        let rotation = Rotation::random(model.dimension, &mut rand::rng());
        match self.add_rotation(model, 1, &rotation, now, None).await {
            Err(Error::Database(error)) if is_unique_violation(&error) => {}
            result => result?,
        }
        let stored = self.rotations(model).await?.pop();
        stored.ok_or(Error::Crypto(mesh::crypto::CryptoError::Open))
    }

    /// With what is told of it; nothing where nobody asked for it.
    pub(crate) async fn add_rotation(
        &self,
        model: &Model,
        number: i32,
        rotation: &Rotation,
        now: jiff::Timestamp,
        act: Option<Act>,
    ) -> Result<(), Error> {
        let bound_to = bound_to(&model.name, &model.version, number);
        let (key, wrapped) = self.keyring.new_data_key(&bound_to)?;
        let row = rotation::ActiveModel {
            model: Set(model.name.clone()),
            version: Set(model.version.clone()),
            number: Set(number),
            renewals: Set(i32::try_from(rotation.renewals()).unwrap_or(i32::MAX)),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            sealed: Set(key.seal(&rotation.to_bytes(), &bound_to)?),
            created_at: Set(to_micros(now)),
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    hold_changes(txn).await?;
                    rotation::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await?;
                    match act {
                        Some(act) => act::insert(txn, act).await,
                        None => Ok(()),
                    }
                }
                .boxed()
            })
            .await
    }

    /// The oldest first: more than one while templates are moved.
    pub(crate) async fn rotations(&self, model: &Model) -> Result<Vec<RotationOf>, Error> {
        let rows = rotation::Entity::find()
            .filter(rotation::Column::Model.eq(model.name.as_str()))
            .filter(rotation::Column::Version.eq(model.version.as_str()))
            .order_by_asc(rotation::Column::Number)
            .all(&self.db.read)
            .await?;
        rows.into_iter()
            .map(|row| {
                let bound_to = bound_to(&model.name, &model.version, row.number);
                let wrapped = WrappedKey {
                    epoch: row.epoch,
                    sealed: row.wrapped_key,
                };
                let key = self.keyring.unwrap(&wrapped, &bound_to)?;
                let bytes = key.open(&row.sealed, &bound_to)?;
                let renewals = u32::try_from(row.renewals).unwrap_or(u32::MAX);
                Ok(RotationOf {
                    number: row.number,
                    rotation: Rotation::from_bytes(&bytes, model.dimension, renewals)?,
                })
            })
            .collect()
    }

    pub(crate) async fn delete_rotation(&self, model: &Model, number: i32) -> Result<(), Error> {
        let delete = rotation::Entity::delete_many()
            .filter(rotation::Column::Model.eq(model.name.as_str()))
            .filter(rotation::Column::Version.eq(model.version.as_str()))
            .filter(rotation::Column::Number.eq(number));
        self.db
            .writer
            .write(move |txn| {
                async move {
                    delete.exec(txn).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Moves up to `most` templates from one rotation to another, in one
    /// commit; how many. A row that does not open stays one that does not.
    pub(crate) async fn move_templates(
        &self,
        model: &Model,
        old: &RotationOf,
        number: i32,
        renewal: &Arc<Renewal>,
        most: u64,
    ) -> Result<u64, Error> {
        let components = old.rotation.components();
        let find = template::Entity::find()
            .filter(template::Column::Model.eq(model.name.as_str()))
            .filter(template::Column::ModelVersion.eq(model.version.as_str()))
            .filter(template::Column::Rotation.eq(old.number))
            .limit(most);
        let (store, renewal) = (self.clone(), renewal.clone());
        self.db
            .writer
            .write(move |txn| {
                async move {
                    let rows = find.all(txn).await?;
                    let moved = rows.len() as u64;
                    for mut row in rows {
                        let subject = subject::Entity::find_by_id(row.subject_id).one(txn).await?;
                        let opened = subject
                            .and_then(|subject| store.unwrap(&subject).ok())
                            .and_then(|key| {
                                let bytes = key.open(&row.sealed, &template_context(&row)).ok()?;
                                Some((key, Code::from_bytes(&bytes, components)?))
                            });
                        row.rotation = number;
                        let sealed = match opened {
                            Some((key, code)) => {
                                key.seal(&renewal.apply(&code).to_bytes(), &template_context(&row))?
                            }
                            None => Vec::new(),
                        };
                        set_template(txn, row.id, number, sealed).await?;
                    }
                    Ok(moved)
                }
                .boxed()
            })
            .await
    }
}

async fn set_template(
    txn: &impl sea_orm::ConnectionTrait,
    id: Uuid,
    rotation: i32,
    sealed: Vec<u8>,
) -> Result<(), Error> {
    template::Entity::update_many()
        .col_expr(template::Column::Sealed, Expr::value(sealed))
        .col_expr(template::Column::Rotation, Expr::value(rotation))
        .filter(template::Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

pub(super) fn bound_to(model: &str, version: &str, number: i32) -> Vec<u8> {
    let mut bound_to = b"rotation\0".to_vec();
    for part in [model, version] {
        bound_to.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound_to.extend_from_slice(part.as_bytes());
    }
    bound_to.extend_from_slice(&number.to_be_bytes());
    bound_to
}
