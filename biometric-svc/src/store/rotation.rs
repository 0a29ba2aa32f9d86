use face_index::Rotation;
use mesh::{clock::to_micros, db::is_unique_violation, keyring::WrappedKey};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{Store, entity::rotation};
use crate::{domain::model::Model, error::Error};

impl Store {
    /// The newest rotation of the model and its number, made if there is none;
    /// replicas that start together agree on the one that was written first.
    pub(crate) async fn rotation(
        &self,
        model: &Model,
        now: jiff::Timestamp,
    ) -> Result<(i32, Rotation), Error> {
        if let Some(found) = self.stored_rotation(model).await? {
            return Ok(found);
        }
        let rotation = Rotation::random(model.dimension, &mut rand::rng());
        let bound_to = bound_to(&model.name, &model.version, 1);
        let (key, wrapped) = self.keyring.new_data_key(&bound_to)?;
        let row = rotation::ActiveModel {
            model: Set(model.name.clone()),
            version: Set(model.version.clone()),
            number: Set(1),
            renewals: Set(0),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            sealed: Set(key.seal(&rotation.to_bytes(), &bound_to)?),
            created_at: Set(to_micros(now)),
        };
        let inserted = rotation::Entity::insert(row)
            .exec_without_returning(&self.db.read)
            .await;
        match inserted {
            Err(error) if !is_unique_violation(&error) => return Err(error.into()),
            _ => {}
        }
        let stored = self.stored_rotation(model).await?;
        stored.ok_or(Error::Crypto(mesh::crypto::CryptoError::Open))
    }

    async fn stored_rotation(&self, model: &Model) -> Result<Option<(i32, Rotation)>, Error> {
        let row = rotation::Entity::find()
            .filter(rotation::Column::Model.eq(model.name.as_str()))
            .filter(rotation::Column::Version.eq(model.version.as_str()))
            .order_by_desc(rotation::Column::Number)
            .one(&self.db.read)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let bound_to = bound_to(&model.name, &model.version, row.number);
        let wrapped = WrappedKey {
            epoch: row.epoch,
            sealed: row.wrapped_key,
        };
        let key = self.keyring.unwrap(&wrapped, &bound_to)?;
        let bytes = key.open(&row.sealed, &bound_to)?;
        let renewals = u32::try_from(row.renewals).unwrap_or(u32::MAX);
        let rotation = Rotation::from_bytes(&bytes, model.dimension, renewals)?;
        Ok(Some((row.number, rotation)))
    }
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
