//! The gate through which templates come in.

use mesh::clock::to_micros;
use uuid::Uuid;

use super::App;
use crate::{domain::vector::FaceVector, error::Error, index::Template, store::NewTemplate};

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
        let model = self.model(enrolment.model)?;
        let vector = FaceVector::from_le_bytes(enrolment.vector, model.dimension)?;
        let everyone = self
            .matcher
            .rank_everywhere(&model.name, vector.clone())
            .await?;
        let of_another = [everyone.best, everyone.second]
            .into_iter()
            .flatten()
            .any(|s| s.subject != enrolment.subject && s.similarity >= NEARLY_IDENTICAL);
        if of_another {
            return Err(Error::TemplateOfAnotherSubject);
        }
        let own = self.matcher.least_own_similarity(
            enrolment.subject,
            &model.name,
            &vector,
            enrolment.template,
        );
        if own.is_some_and(|similarity| similarity < model.threshold) {
            return Err(Error::TemplateDisagrees);
        }

        let templates = self
            .store
            .put(NewTemplate {
                id: enrolment.template,
                subject: enrolment.subject,
                model: model.name.clone(),
                model_version: model.version.clone(),
                vector: vector.to_le_bytes(),
                galleries: enrolment.galleries.clone(),
                consent_reference: enrolment.consent_reference,
                consented_at: enrolment.consented_at,
                created_at: to_micros(self.clock.now()),
            })
            .await?;
        self.matcher.put(Template {
            id: enrolment.template,
            subject: enrolment.subject,
            model: model.name.clone(),
            vector,
        });
        self.matcher
            .set_galleries(enrolment.subject, enrolment.galleries);
        Ok(templates)
    }

    pub(crate) async fn set_galleries(
        &self,
        subject: Uuid,
        galleries: Vec<Uuid>,
    ) -> Result<(), Error> {
        if !self.store.set_galleries(subject, galleries.clone()).await? {
            return Err(Error::SubjectNotFound);
        }
        self.matcher.set_galleries(subject, galleries);
        Ok(())
    }
}
