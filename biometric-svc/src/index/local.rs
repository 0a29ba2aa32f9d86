//! Templates in this process's memory, scanned in full: exact, and quick
//! enough for the galleries of one estate.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use uuid::Uuid;

use super::{Counts, Matcher, Template};
use crate::{
    domain::{
        identification::{Ranking, Scored},
        model::Model,
        vector::FaceVector,
    },
    error::Error,
};

#[derive(Default)]
struct Subject {
    galleries: HashSet<Uuid>,
    templates: HashMap<Uuid, Arc<Template>>,
}

#[derive(Default)]
struct State {
    subjects: HashMap<Uuid, Subject>,
    /// Subjects by gallery, so that a search touches only the galleries asked for.
    galleries: HashMap<Uuid, HashSet<Uuid>>,
}

pub(crate) struct LocalIndex {
    state: Arc<RwLock<State>>,
    models: Vec<String>,
}

impl LocalIndex {
    pub(crate) fn new(models: &[Model]) -> Self {
        Self {
            state: Arc::default(),
            models: models.iter().map(|model| model.name.clone()).collect(),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scans on a thread where it holds up no other call.
    async fn scan(
        &self,
        model: &str,
        probe: FaceVector,
        galleries: Option<Vec<Uuid>>,
    ) -> Result<Ranking, Error> {
        if !self.models.iter().any(|known| known == model) {
            return Err(Error::UnknownModel);
        }
        let (state, model) = (self.state.clone(), model.to_owned());
        tokio::task::spawn_blocking(move || {
            let state = state.read().unwrap_or_else(PoisonError::into_inner);
            state.rank(&model, &probe, galleries.as_deref())
        })
        .await
        .map_err(|_| Error::Task)
    }
}

impl State {
    fn rank(&self, model: &str, probe: &FaceVector, galleries: Option<&[Uuid]>) -> Ranking {
        let chosen: HashSet<Uuid> = match galleries {
            Some(galleries) => galleries
                .iter()
                .filter_map(|gallery| self.galleries.get(gallery))
                .flatten()
                .copied()
                .collect(),
            None => self.subjects.keys().copied().collect(),
        };
        let mut ranking = Ranking::default();
        for subject in chosen {
            let templates = self.subjects.get(&subject).map(|s| &s.templates);
            for template in templates.into_iter().flat_map(HashMap::values) {
                if template.model == model {
                    ranking.searched += 1;
                    ranking.add(Scored {
                        subject,
                        similarity: template.vector.similarity(probe),
                    });
                }
            }
        }
        ranking
    }

    fn leave_galleries(&mut self, subject: Uuid, galleries: &HashSet<Uuid>) {
        for gallery in galleries {
            if let Some(members) = self.galleries.get_mut(gallery) {
                members.remove(&subject);
                if members.is_empty() {
                    self.galleries.remove(gallery);
                }
            }
        }
    }
}

#[async_trait]
impl Matcher for LocalIndex {
    async fn rank(
        &self,
        model: &str,
        probe: FaceVector,
        galleries: Vec<Uuid>,
    ) -> Result<Ranking, Error> {
        self.scan(model, probe, Some(galleries)).await
    }

    async fn rank_everywhere(&self, model: &str, probe: FaceVector) -> Result<Ranking, Error> {
        self.scan(model, probe, None).await
    }

    fn least_own_similarity(
        &self,
        subject: Uuid,
        model: &str,
        probe: &FaceVector,
        except: Uuid,
    ) -> Option<f32> {
        self.read()
            .subjects
            .get(&subject)?
            .templates
            .values()
            .filter(|template| template.model == model && template.id != except)
            .map(|template| template.vector.similarity(probe))
            .min_by(f32::total_cmp)
    }

    fn put(&self, template: Template) {
        let mut state = self.write();
        let subject = state.subjects.entry(template.subject).or_default();
        subject.templates.insert(template.id, Arc::new(template));
    }

    fn set_galleries(&self, subject: Uuid, galleries: Vec<Uuid>) {
        let mut state = self.write();
        let new: HashSet<Uuid> = galleries.into_iter().collect();
        let entry = state.subjects.entry(subject).or_default();
        let old = std::mem::replace(&mut entry.galleries, new.clone());
        state.leave_galleries(subject, &old);
        for gallery in new {
            state.galleries.entry(gallery).or_default().insert(subject);
        }
    }

    fn erase(&self, subject: Uuid) -> usize {
        let mut state = self.write();
        let Some(gone) = state.subjects.remove(&subject) else {
            return 0;
        };
        state.leave_galleries(subject, &gone.galleries);
        gone.templates.len()
    }

    fn counts(&self) -> Counts {
        let state = self.read();
        Counts {
            subjects: state.subjects.len(),
            templates: state.subjects.values().map(|s| s.templates.len()).sum(),
            galleries: state.galleries.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    fn vector(leading: f32) -> FaceVector {
        let mut values = vec![0.0_f32; 128];
        values[0] = leading;
        values[1] = (1.0 - leading * leading).sqrt();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        FaceVector::from_le_bytes(&bytes, 128).expect("a vector")
    }

    fn index() -> LocalIndex {
        let model = Model::new(&ModelConfig {
            name: "m".into(),
            version: "1".into(),
            dimension: 128,
            threshold: 0.45,
            margin: 0.05,
            false_match_bound: 1e-4,
        });
        LocalIndex::new(&[model.expect("a model")])
    }

    fn put(index: &LocalIndex, subject: u128, template: u128, leading: f32, gallery: u128) {
        index.put(Template {
            id: Uuid::from_u128(template),
            subject: Uuid::from_u128(subject),
            model: "m".into(),
            vector: vector(leading),
        });
        index.set_galleries(Uuid::from_u128(subject), vec![Uuid::from_u128(gallery)]);
    }

    #[tokio::test]
    async fn only_the_galleries_asked_for_are_searched() {
        let index = index();
        put(&index, 1, 11, 1.0, 100);
        put(&index, 2, 21, 0.9, 200);
        let search = |gallery| index.rank("m", vector(1.0), vec![Uuid::from_u128(gallery)]);
        let first = search(100).await.expect("a ranking");
        assert_eq!(first.best.map(|s| s.subject), Some(Uuid::from_u128(1)));
        assert_eq!((first.second, first.searched), (None, 1));
        let none = search(300).await.expect("a ranking");
        assert_eq!(none.best, None);
        assert!(matches!(
            index.rank("other", vector(1.0), vec![]).await,
            Err(Error::UnknownModel)
        ));
    }

    #[tokio::test]
    async fn the_erased_are_found_no_more() {
        let index = index();
        put(&index, 1, 11, 1.0, 100);
        put(&index, 1, 12, 0.9, 100);
        assert_eq!(index.erase(Uuid::from_u128(1)), 2);
        assert_eq!(index.erase(Uuid::from_u128(1)), 0);
        let ranking = index
            .rank_everywhere("m", vector(1.0))
            .await
            .expect("a ranking");
        assert_eq!(ranking.searched, 0);
        assert_eq!(index.counts().galleries, 0);
    }
}
