//! Templates at rest: each subject's under a data key of that subject's own.

mod act;
mod change;
mod custodian;
#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
mod entity;
mod erasure;
mod load;
pub(crate) mod migration;
mod rotation;
mod template;
#[cfg(test)]
mod testing;

pub(crate) use act::StoredAct;
pub(crate) use change::Replica;
pub(crate) use erasure::{Erasure, Order};
use mesh::{
    crypto::Key,
    db::Db,
    keyring::{Keyring, WrappedKey},
};
pub(crate) use rotation::RotationOf;
pub(crate) use template::NewTemplate;
use uuid::Uuid;

use self::entity::{subject, template as template_entity};
use crate::{error::Error, index::Protected};

/// A template as it was stored.
pub(crate) struct StoredTemplate {
    pub(crate) id: Uuid,
    pub(crate) model: String,
    pub(crate) model_version: String,
    /// Number of the rotation; 0 for a bare vector.
    pub(crate) rotation: i32,
    pub(crate) content: Protected,
}

/// A subject as it was stored.
pub(crate) struct StoredSubject {
    pub(crate) galleries: Vec<Uuid>,
    pub(crate) templates: Vec<StoredTemplate>,
    /// Templates whose rows do not open.
    pub(crate) corrupt: Vec<Uuid>,
}

#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
    keyring: Keyring,
    /// This process among the replicas.
    replica: Uuid,
}

impl Store {
    pub(crate) fn new(db: Db, keyring: Keyring) -> Self {
        Self {
            db,
            keyring,
            replica: Uuid::new_v4(),
        }
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

fn to_bytes(galleries: &[Uuid]) -> Vec<u8> {
    galleries.iter().flat_map(|id| *id.as_bytes()).collect()
}

fn from_bytes(galleries: &[u8]) -> Vec<Uuid> {
    galleries
        .chunks_exact(16)
        .filter_map(|bytes| Uuid::from_slice(bytes).ok())
        .collect()
}

fn template_context(row: &template_entity::Model) -> Vec<u8> {
    // As version 0.1 bound the bare vector.
    if row.rotation == 0 {
        return context(b"template vector\0", row);
    }
    let mut context = context(b"template\0", row);
    context.extend_from_slice(&row.rotation.to_be_bytes());
    context
}

fn consent_context(row: &template_entity::Model) -> Vec<u8> {
    context(b"consent reference\0", row)
}

/// Binds a ciphertext to its row, subject and model: a swapped one fails.
fn context(purpose: &[u8], row: &template_entity::Model) -> Vec<u8> {
    let mut context = purpose.to_vec();
    context.extend_from_slice(row.subject_id.as_bytes());
    context.extend_from_slice(row.id.as_bytes());
    for part in [&row.model, &row.model_version] {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}
