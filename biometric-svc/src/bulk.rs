//! Filling an empty store past the gate: for benchmarks, where a million
//! enrolments one by one would take hours.

use std::sync::Arc;

use face_index::{FaceVector, VectorError};
use mesh::{
    Clock,
    clock::{SystemClock, to_micros},
    custody::{self, Custody},
    db,
    keyring::Keyring,
    shutdown::Shutdown,
};
use uuid::Uuid;

use crate::{Config, RunError, SERVICE, index::Protected, store};

/// Templates in one transaction.
const TOGETHER: usize = 500;

/// A face to store.
pub struct Face {
    pub subject: Uuid,
    pub template: Uuid,
    /// Little-endian float32, four bytes a dimension.
    pub vector: Vec<u8>,
}

/// Stores the faces in one gallery under the configuration's first model.
pub async fn fill(
    config: &Config,
    gallery: Uuid,
    faces: impl Iterator<Item = Face>,
) -> Result<(), RunError> {
    let shutdown = Shutdown::new();
    let keyring = Keyring::open_or_create(SERVICE, &config.keyring, &SystemClock).await?;
    let database =
        db::open::<store::migration::Migrator>(&config.database, shutdown.clone()).await?;
    let store = store::Store::new(database.clone(), keyring.clone());
    // Says whose the store is.
    Custody::open(custody::Parts {
        service: SERVICE,
        db: database,
        keyring,
        custodian: Arc::new(store.clone()),
        clock: SystemClock::shared(),
        residency: config.residency.clone(),
        backup: config.backup.clone(),
        erasure: Some(config.erasure.clone()),
        rotate_every_days: 0,
        shutdown: shutdown.clone(),
        restart: Arc::new(|| {}),
    })
    .await?;
    let model = config.models()?.remove(0);
    let now = SystemClock.now();
    let store::RotationOf { number, rotation } = store.rotation(&model, now).await?;
    let mut faces = faces.peekable();
    while faces.peek().is_some() {
        let new: Result<Vec<_>, VectorError> = faces
            .by_ref()
            .take(TOGETHER)
            .map(|face| {
                let vector = FaceVector::from_le_bytes(&face.vector, model.dimension)?;
                Ok(store::NewTemplate {
                    id: face.template,
                    subject: face.subject,
                    model: model.name.clone(),
                    model_version: model.version.clone(),
                    rotation: number,
                    content: Protected(rotation.encode(&vector).to_bytes()),
                    galleries: vec![gallery],
                    consent_reference: "benchmark".into(),
                    consented_at: to_micros(now),
                    created_at: to_micros(now),
                })
            })
            .collect();
        store
            .put_new_subjects(new.map_err(crate::error::Error::from)?)
            .await?;
    }
    shutdown.cancel();
    Ok(())
}
