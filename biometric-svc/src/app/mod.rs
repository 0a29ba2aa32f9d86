//! The use cases.

mod enrolment;
mod erasure;
mod identification;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

pub(crate) use enrolment::Enrolment;
use mesh::{Clock, crypto::Key};

use crate::{
    domain::{model::Model, vector::FaceVector},
    error::Error,
    index::{Counts, Matcher, Template},
    store::Store,
};

#[derive(Clone)]
pub(crate) struct App {
    store: Store,
    matcher: Arc<dyn Matcher>,
    models: Arc<[Model]>,
    probe_key: Key,
    clock: Arc<dyn Clock>,
    corrupt: Arc<AtomicUsize>,
}

impl App {
    pub(crate) fn new(
        store: Store,
        matcher: Arc<dyn Matcher>,
        models: Vec<Model>,
        probe_key: Key,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            matcher,
            models: models.into(),
            probe_key,
            clock,
            corrupt: Arc::default(),
        }
    }

    /// Fills the index from the store.
    pub(crate) async fn load(&self) -> Result<(), Error> {
        let loaded = self.store.load().await?;
        let mut corrupt = loaded.corrupt;
        for stored in loaded.templates {
            // A model no longer configured leaves its templates asleep.
            let Ok(model) = self.model(&stored.model) else {
                continue;
            };
            match FaceVector::from_le_bytes(&stored.vector, model.dimension) {
                Ok(vector) => self.matcher.put(Template {
                    id: stored.id,
                    subject: stored.subject,
                    model: stored.model,
                    vector,
                }),
                Err(_) => corrupt += 1,
            }
        }
        for (subject, galleries) in loaded.galleries {
            self.matcher.set_galleries(subject, galleries);
        }
        self.corrupt.store(corrupt, Ordering::Relaxed);
        let counts = self.matcher.counts();
        tracing::info!(
            templates = counts.templates,
            subjects = counts.subjects,
            "index loaded"
        );
        if corrupt > 0 {
            tracing::error!(rows = corrupt, "rows that do not open are left out");
        }
        Ok(())
    }

    pub(crate) fn models(&self) -> &[Model] {
        &self.models
    }

    pub(crate) fn status(&self) -> (Counts, usize) {
        (self.matcher.counts(), self.corrupt.load(Ordering::Relaxed))
    }

    fn model(&self, name: &str) -> Result<&Model, Error> {
        self.models
            .iter()
            .find(|model| model.name == name)
            .ok_or(Error::UnknownModel)
    }
}
