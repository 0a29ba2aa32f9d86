//! The gate through which templates come in.

use face_index::FaceVector;
use mesh::clock::to_micros;
use uuid::Uuid;

use super::App;
use crate::{domain::model::Model, error::Error, index::Place, store::NewTemplate};

/// Two people, even twins before one camera, do not come this close; one
/// person enrolled twice does.
const NEARLY_IDENTICAL: f32 = 0.95;

pub(crate) struct Enrolment<'a> {
    pub(crate) subject: Uuid,
    pub(crate) template: Uuid,
    pub(crate) model: &'a str,
    pub(crate) vector: &'a [u8],
    pub(crate) galleries: Vec<Uuid>,
    pub(crate) consent_reference: String,
    /// Microseconds since the Unix epoch.
    pub(crate) consented_at: i64,
}

impl App {
    /// Templates the subject has afterwards.
    pub(crate) async fn enrol(&self, enrolment: Enrolment<'_>) -> Result<usize, Error> {
        let known = self.model(enrolment.model)?;
        let model = &known.model;
        let vector = FaceVector::from_le_bytes(enrolment.vector, model.dimension)?;
        self.0.feed.check()?;
        let _lock = self.lock(enrolment.subject).await;
        self.admit(model, &vector, &enrolment).await?;

        let parts = self.parts();
        let content = parts.matcher.protect(model, &vector)?;
        let templates = parts
            .store
            .put(NewTemplate {
                id: enrolment.template,
                subject: enrolment.subject,
                model: model.name.clone(),
                model_version: model.version.clone(),
                rotation: known.rotation,
                content: content.clone(),
                galleries: enrolment.galleries.clone(),
                consent_reference: enrolment.consent_reference,
                consented_at: enrolment.consented_at,
                created_at: to_micros(parts.clock.now()),
            })
            .await?;
        let place = Place {
            subject: enrolment.subject,
            template: enrolment.template,
            galleries: &enrolment.galleries,
        };
        parts.matcher.put(&place, model, &content);
        self.0.corrupt.mended(place.subject, place.template);
        parts.matcher.set_galleries(place.subject, place.galleries);
        Ok(templates)
    }

    async fn admit(
        &self,
        model: &Model,
        vector: &FaceVector,
        enrolment: &Enrolment<'_>,
    ) -> Result<(), Error> {
        let matcher = &self.parts().matcher;
        let everyone = matcher
            .rank_everywhere(model, vector.clone(), NEARLY_IDENTICAL)
            .await?;
        let of_another = [everyone.best, everyone.second]
            .into_iter()
            .flatten()
            .any(|scored| scored.subject != enrolment.subject);
        if of_another {
            return Err(Error::TemplateOfAnotherSubject);
        }
        let own =
            matcher.least_own_similarity(enrolment.subject, model, vector, enrolment.template)?;
        if own.is_some_and(|similarity| similarity < model.threshold) {
            return Err(Error::TemplateDisagrees);
        }
        Ok(())
    }

    pub(crate) async fn set_galleries(
        &self,
        subject: Uuid,
        galleries: Vec<Uuid>,
    ) -> Result<(), Error> {
        let parts = self.parts();
        let now = to_micros(parts.clock.now());
        let _lock = self.lock(subject).await;
        let found = parts
            .store
            .set_galleries(subject, galleries.clone(), now)
            .await?;
        if !found {
            return Err(Error::SubjectNotFound);
        }
        parts.matcher.set_galleries(subject, &galleries);
        Ok(())
    }
}
