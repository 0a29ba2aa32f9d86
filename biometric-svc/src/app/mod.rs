//! The use cases.

mod act;
mod corrupt;
mod enrolment;
mod erasure;
mod feed;
mod identification;
mod loading;
mod models;
mod renewal;

use std::sync::Arc;

pub(crate) use enrolment::Enrolment;
use mesh::{Clock, admin::Readiness, crypto::Key, custody::Custody};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use self::{corrupt::Corrupt, feed::Feed};
use crate::{
    domain::model::Model,
    error::Error,
    index::{Counts, Matcher},
    store::Store,
};

/// Subjects whose changes wait for each other.
const LOCKS: usize = 256;

pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) matcher: Arc<dyn Matcher>,
    pub(crate) models: Vec<KnownModel>,
    pub(crate) probe_key: Key,
    pub(crate) custody: Custody,
    /// Has the service start over.
    pub(crate) restart: Arc<dyn Fn() + Send + Sync>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether every template's row opens.
    pub(crate) templates: Readiness,
}

/// A model with the number of its rotation.
pub(crate) struct KnownModel {
    pub(crate) model: Model,
    pub(crate) rotation: i32,
}

#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    parts: Parts,
    feed: Feed,
    corrupt: Corrupt,
    /// A change is committed and taken into the index before the next one of
    /// the same subject: an older state must not overtake a newer one.
    locks: Vec<Mutex<()>>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            feed: Feed::default(),
            corrupt: Corrupt::new(parts.templates.clone()),
            parts,
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
        }))
    }

    fn parts(&self) -> &Parts {
        &self.0.parts
    }

    pub(crate) fn models(&self) -> impl Iterator<Item = &Model> {
        self.parts().models.iter().map(|known| &known.model)
    }

    pub(crate) async fn status(&self) -> Result<Status, Error> {
        Ok(Status {
            subjects: self.parts().store.count_subjects().await?,
            counts: self.parts().matcher.counts(),
            corrupt: self.corrupt_rows(),
        })
    }

    /// Templates whose rows do not open.
    pub(crate) fn corrupt_rows(&self) -> usize {
        self.0.corrupt.count()
    }

    fn model(&self, name: &str) -> Result<&KnownModel, Error> {
        self.parts()
            .models
            .iter()
            .find(|known| known.model.name == name)
            .ok_or(Error::UnknownModel)
    }

    async fn lock(&self, subject: Uuid) -> MutexGuard<'_, ()> {
        let number = subject.as_u128() % LOCKS as u128;
        self.0.locks[number as usize].lock().await
    }
}

pub(crate) struct Status {
    pub(crate) subjects: u64,
    pub(crate) counts: Counts,
    pub(crate) corrupt: usize,
}
