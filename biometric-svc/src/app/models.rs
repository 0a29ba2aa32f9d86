//! Models side by side, and those that nobody is asked for any more.

use super::App;
use crate::error::Error;

/// Templates of a model's version.
pub(crate) struct ModelCount {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) templates: u64,
    /// Enrolled subjects that have none of it.
    pub(crate) subjects_missing: u64,
    pub(crate) served: bool,
}

impl App {
    /// Of every model that is served or has templates.
    pub(crate) async fn model_counts(&self) -> Result<Vec<ModelCount>, Error> {
        let store = &self.parts().store;
        let enrolled = store.count_subjects().await?;
        let mut counts = Vec::new();
        for (name, version, templates, subjects) in store.templates_by_model().await? {
            counts.push(ModelCount {
                templates: u64::try_from(templates).unwrap_or(0),
                subjects_missing: enrolled.saturating_sub(u64::try_from(subjects).unwrap_or(0)),
                served: self.serves(&name, &version),
                name,
                version,
            });
        }
        for model in self.models() {
            let has_none = !counts
                .iter()
                .any(|count| count.name == model.name && count.version == model.version);
            if has_none {
                counts.push(ModelCount {
                    name: model.name.clone(),
                    version: model.version.clone(),
                    templates: 0,
                    subjects_missing: enrolled,
                    served: true,
                });
            }
        }
        Ok(counts)
    }

    fn serves(&self, name: &str, version: &str) -> bool {
        self.models()
            .any(|model| model.name == name && model.version == version)
    }

    /// Deletes the templates of a model that is not served: re-enrolment to
    /// another one has ended. How many there were.
    pub(crate) async fn forget_model(&self, name: &str, version: &str) -> Result<u64, Error> {
        if self.serves(name, version) {
            return Err(Error::ModelServed);
        }
        let act = self.act("model_forgotten", format!("{name} {version}"));
        let forgotten = self
            .parts()
            .store
            .forget_model(name.into(), version.into(), act)
            .await?;
        // Those among them that did not open are gone too.
        for subject in self.0.corrupt.subjects() {
            self.read_again(subject).await?;
        }
        Ok(forgotten)
    }
}
