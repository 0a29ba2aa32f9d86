//! What custody is told of this store.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures::FutureExt;
use jiff::Timestamp;
use mesh::{
    clock::to_micros,
    custody::{
        Act, Custodian, CustodyError, Wrapped,
        backup::{Table, table},
    },
    keyring::KeyringError,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, sea_query::Expr};

use super::{
    Store,
    entity::{act, erasure, rotation, subject, template},
};

const SUBJECTS: Wrapped<subject::Entity> = Wrapped {
    epoch: subject::Column::Epoch,
    key: subject::Column::WrappedKey,
    bound_to: subject::Column::Id,
};

#[async_trait::async_trait]
impl Custodian for Store {
    async fn references(&self) -> Result<BTreeMap<i64, u64>, CustodyError> {
        let mut references = SUBJECTS.references(&self.db.read).await?;
        let rotations = mesh::custody::wrapped::count::<rotation::Entity>(
            &self.db.read,
            rotation::Column::Epoch,
        )
        .await?;
        for (epoch, rows) in rotations {
            *references.entry(epoch).or_default() += rows;
        }
        Ok(references)
    }

    async fn rewrap(&self, limit: u64) -> Result<u64, CustodyError> {
        let (keyring, store) = (self.keyring.clone(), self.clone());
        self.db
            .writer
            .write(move |txn| {
                async move {
                    // The key of a subject that is going is gone already.
                    subject::Entity::update_many()
                        .col_expr(subject::Column::Epoch, Expr::value(keyring.current().id))
                        .filter(subject::Column::WrappedKey.eq(Vec::<u8>::new()))
                        .filter(ColumnTrait::lt(
                            &subject::Column::Epoch,
                            keyring.current().id,
                        ))
                        .exec(txn)
                        .await?;
                    let moved = SUBJECTS.rewrap(txn, &keyring, limit).await?;
                    Ok(moved + store.rewrap_rotations(txn, limit).await?)
                }
                .boxed()
            })
            .await
    }

    /// Opens every template too: a row that does not open is found before the
    /// key that would have opened its neighbour is gone.
    async fn verify(&self) -> Result<u64, CustodyError> {
        let unopened = self.load(|_, _, _| {}).await.map_err(CustodyError::store)?;
        Ok(unopened.len() as u64)
    }

    fn tables(&self) -> Vec<Box<dyn Table>> {
        vec![
            Box::new(table::<rotation::Entity>().made_at_start()),
            Box::new(table::<subject::Entity>().with_keys(SUBJECTS)),
            Box::new(table::<template::Entity>()),
            Box::new(table::<erasure::Entity>()),
            // An empty store's keys rotate, and may be backed up, too.
            Box::new(table::<act::Entity>().made_at_start()),
        ]
    }

    async fn epoch_ended(&self, ended: i64, at: Timestamp) -> Result<(), CustodyError> {
        self.make_final(ended, to_micros(at))
            .await
            .map_err(CustodyError::store)
    }

    async fn acted(&self, act: Act) -> Result<(), CustodyError> {
        self.add_act(act).await.map_err(CustodyError::store)
    }
}

impl Store {
    /// A rotation's key is bound to three columns, so that it is moved here.
    async fn rewrap_rotations(
        &self,
        txn: &impl sea_orm::ConnectionTrait,
        limit: u64,
    ) -> Result<u64, CustodyError> {
        use rotation::Column;
        let rows = rotation::Entity::find()
            .filter(ColumnTrait::lt(&Column::Epoch, self.keyring.current().id))
            .limit(limit)
            .all(txn)
            .await?;
        let mut moved = 0;
        for row in rows {
            let bound_to = super::rotation::bound_to(&row.model, &row.version, row.number);
            let old = mesh::keyring::WrappedKey {
                epoch: row.epoch,
                sealed: row.wrapped_key,
            };
            let new = match self.keyring.rewrap(&old, &bound_to) {
                Ok(Some(new)) => new,
                Ok(None) | Err(KeyringError::Crypto(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let updated = rotation::Entity::update_many()
                .col_expr(Column::Epoch, Expr::value(new.epoch))
                .col_expr(Column::WrappedKey, Expr::value(new.sealed))
                .filter(Column::Model.eq(row.model))
                .filter(Column::Version.eq(row.version))
                .filter(Column::Number.eq(row.number))
                .filter(Column::WrappedKey.eq(old.sealed))
                .exec(txn)
                .await?;
            moved += updated.rows_affected;
        }
        Ok(moved)
    }
}
