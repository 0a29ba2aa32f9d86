//! Where templates are searched. The trait is the seam for other matchers,
//! such as an accredited verifier elsewhere; the local index is the first.

mod local;

use async_trait::async_trait;
use face_index::{FaceVector, Ranking};
pub(crate) use local::{LocalIndex, Rotations};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{domain::model::Model, error::Error};

/// A template as the matcher wants it kept: not the vector that it came from.
#[derive(Clone)]
pub(crate) struct Protected(pub(crate) Zeroizing<Vec<u8>>);

/// Whose template it is, and where it is searched.
pub(crate) struct Place<'a> {
    pub(crate) subject: Uuid,
    pub(crate) template: Uuid,
    pub(crate) galleries: &'a [Uuid],
}

/// What is searched, by model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) templates: Vec<(String, usize)>,
    pub(crate) galleries: usize,
}

/// Searches templates by galleries. Changes take effect before they return.
#[async_trait]
pub(crate) trait Matcher: Send + Sync {
    /// The best two subjects of the galleries, as far as they decide.
    async fn rank(
        &self,
        model: &Model,
        probe: FaceVector,
        galleries: Vec<Uuid>,
    ) -> Result<Ranking, Error>;

    /// The best two subjects of all, at or above the similarity.
    async fn rank_everywhere(
        &self,
        model: &Model,
        probe: FaceVector,
        floor: f32,
    ) -> Result<Ranking, Error>;

    /// The least similarity to the subject's own templates, leaving one out.
    fn least_own_similarity(
        &self,
        subject: Uuid,
        model: &Model,
        probe: &FaceVector,
        except: Uuid,
    ) -> Result<Option<f32>, Error>;

    fn protect(&self, model: &Model, vector: &FaceVector) -> Result<Protected, Error>;

    /// Adds or replaces a template. False where it is none of this model.
    fn put(&self, place: &Place<'_>, model: &Model, template: &Protected) -> bool;

    /// Replaces the galleries in which a subject is searched.
    fn set_galleries(&self, subject: Uuid, galleries: &[Uuid]);

    /// Overwrites the subject's templates of every model that are not among
    /// these.
    fn retain(&self, subject: Uuid, templates: &[Uuid]);

    /// Makes room for that many more.
    fn reserve(&self, model: &Model, templates: usize);

    fn counts(&self) -> Counts;
}
