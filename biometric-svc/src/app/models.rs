//! Models side by side, and those that nobody is asked for any more.

use mesh::clock::to_micros;

use super::App;
use crate::error::Error;

/// Templates of a model's version.
pub(crate) struct ModelCount {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) templates: u64,
}

impl App {
    /// Of every model that has templates, served or not.
    pub(crate) async fn model_counts(&self) -> Result<Vec<ModelCount>, Error> {
        let rows = self.parts().store.templates_by_model().await?;
        Ok(rows
            .into_iter()
            .map(|(name, version, templates)| ModelCount {
                name,
                version,
                templates: u64::try_from(templates).unwrap_or(0),
            })
            .collect())
    }

    /// Deletes the templates of a model that is not served: re-enrolment to
    /// another one has ended. How many there were.
    pub(crate) async fn forget_model(&self, name: &str, version: &str) -> Result<u64, Error> {
        let served = self
            .models()
            .any(|model| model.name == name && model.version == version);
        if served {
            return Err(Error::ModelServed);
        }
        let parts = self.parts();
        let now = to_micros(parts.clock.now());
        let forgotten = parts
            .store
            .forget_model(name.into(), version.into(), now)
            .await?;
        // Those among them that did not open are gone too.
        for subject in self.0.corrupt.subjects() {
            self.read_again(subject).await?;
        }
        Ok(forgotten)
    }
}
