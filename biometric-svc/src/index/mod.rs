//! Where templates are searched. The trait is the seam for other matchers,
//! such as an accredited verifier elsewhere; the local index is the first.

mod local;

use async_trait::async_trait;
pub(crate) use local::LocalIndex;
use uuid::Uuid;

use crate::{
    domain::{identification::Ranking, vector::FaceVector},
    error::Error,
};

/// A template as a matcher takes it.
pub(crate) struct Template {
    pub(crate) id: Uuid,
    pub(crate) subject: Uuid,
    pub(crate) model: String,
    pub(crate) vector: FaceVector,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) subjects: usize,
    pub(crate) templates: usize,
    pub(crate) galleries: usize,
}

/// Searches templates by galleries. Changes take effect before they return.
#[async_trait]
pub(crate) trait Matcher: Send + Sync {
    /// The best two subjects among the templates of the model in the galleries.
    async fn rank(
        &self,
        model: &str,
        probe: FaceVector,
        galleries: Vec<Uuid>,
    ) -> Result<Ranking, Error>;

    /// The best two subjects among all templates of the model.
    async fn rank_everywhere(&self, model: &str, probe: FaceVector) -> Result<Ranking, Error>;

    /// The least similarity to the subject's own templates, leaving one out.
    fn least_own_similarity(
        &self,
        subject: Uuid,
        model: &str,
        probe: &FaceVector,
        except: Uuid,
    ) -> Option<f32>;

    /// Adds or replaces a template.
    fn put(&self, template: Template);

    /// Replaces the galleries in which a subject is searched.
    fn set_galleries(&self, subject: Uuid, galleries: Vec<Uuid>);

    /// Drops a subject; its vectors are wiped.
    fn erase(&self, subject: Uuid) -> usize;

    fn counts(&self) -> Counts;
}
