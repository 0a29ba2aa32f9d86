//! Templates in this process's memory: exact, whatever the number.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use face_index::{
    Busy, Code, Decider, FaceVector, Index, Kernel, Ranking, Rotation, Scope, Searcher,
};
use uuid::Uuid;

use super::{Counts, Matcher, Place, Protected};
use crate::{domain::model::Model, error::Error};

/// The secret rotation of each model, by name.
pub(crate) type Rotations = HashMap<String, Rotation>;

struct Part {
    rotation: Rotation,
    index: Arc<Index>,
}

pub(crate) struct LocalIndex {
    parts: HashMap<String, Part>,
    searcher: Searcher,
}

impl LocalIndex {
    /// With as many threads for large searches, and a queue of that length.
    pub(crate) fn new(
        rotations: Rotations,
        threads: usize,
        queue: usize,
    ) -> Result<Self, std::io::Error> {
        let kernel = Kernel::detect();
        tracing::info!(?kernel, "the index's inner loops");
        let part = |rotation: Rotation| Part {
            index: Arc::new(Index::new(rotation.components(), kernel)),
            rotation,
        };
        Ok(Self {
            parts: rotations
                .into_iter()
                .map(|(model, rotation)| (model, part(rotation)))
                .collect(),
            searcher: Searcher::start(threads, queue)?,
        })
    }

    fn part(&self, model: &Model) -> Result<&Part, Error> {
        self.parts.get(&model.name).ok_or(Error::UnknownModel)
    }
}

#[async_trait]
impl Matcher for LocalIndex {
    async fn rank(
        &self,
        model: &Model,
        probe: FaceVector,
        galleries: Vec<Uuid>,
    ) -> Result<Ranking, Error> {
        let part = self.part(model)?;
        let templates = part.index.count(Scope::Galleries(&galleries));
        let decider = Decider {
            threshold: model.threshold_for(templates),
            margin: model.margin,
        };
        let ranked = self
            .searcher
            .rank(
                &part.index,
                &part.rotation,
                &probe,
                decider,
                Some(galleries),
            )
            .await;
        ranked.map_err(|Busy| Error::Busy)
    }

    async fn rank_everywhere(
        &self,
        model: &Model,
        probe: FaceVector,
        floor: f32,
    ) -> Result<Ranking, Error> {
        let part = self.part(model)?;
        let query = part.rotation.query(&probe, floor);
        let searched = self.searcher.search(&part.index, query, None).await;
        searched.map_err(|Busy| Error::Busy)
    }

    fn least_own_similarity(
        &self,
        subject: Uuid,
        model: &Model,
        probe: &FaceVector,
        except: Uuid,
    ) -> Result<Option<f32>, Error> {
        let part = self.part(model)?;
        let query = part.rotation.query(probe, 0.0);
        Ok(part.index.least_own_similarity(subject, &query, except))
    }

    fn protect(&self, model: &Model, vector: &FaceVector) -> Result<Protected, Error> {
        Ok(Protected(
            self.part(model)?.rotation.encode(vector).to_bytes(),
        ))
    }

    fn put(&self, place: &Place<'_>, model: &Model, template: &Protected) -> bool {
        let Ok(part) = self.part(model) else {
            return false;
        };
        let Some(code) = Code::from_bytes(&template.0, part.rotation.components()) else {
            return false;
        };
        part.index
            .put(place.subject, place.template, place.galleries, &code);
        true
    }

    fn set_galleries(&self, subject: Uuid, galleries: &[Uuid]) {
        for part in self.parts.values() {
            part.index.set_galleries(subject, galleries);
        }
    }

    fn retain(&self, subject: Uuid, templates: &[Uuid]) {
        for part in self.parts.values() {
            part.index.retain(subject, templates);
        }
    }

    fn reserve(&self, model: &Model, templates: usize) {
        if let Ok(part) = self.part(model) {
            part.index.reserve(templates);
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (name, part) in &self.parts {
            let of_part = part.index.counts();
            counts.templates.push((name.clone(), of_part.templates));
            counts.galleries = counts.galleries.max(of_part.galleries);
        }
        counts.templates.sort();
        counts
    }
}
