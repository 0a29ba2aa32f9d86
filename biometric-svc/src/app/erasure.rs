//! Final deletion of a subject.

use jiff::Timestamp;
use uuid::Uuid;

use super::App;
use crate::error::Error;

pub(crate) struct Erased {
    pub(crate) templates: u64,
    pub(crate) at: Timestamp,
}

impl App {
    /// Out of every search first, so that no crash leaves a subject that can
    /// be recognised and no longer erased.
    pub(crate) async fn erase(&self, subject: Uuid) -> Result<Erased, Error> {
        self.matcher.erase(subject);
        let templates = self.store.erase(subject).await?;
        Ok(Erased {
            templates,
            at: self.clock.now(),
        })
    }
}
