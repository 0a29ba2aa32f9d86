//! Final deletion of a subject.

use jiff::Timestamp;
use mesh::clock::to_micros;
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
        let parts = self.parts();
        let at = parts.clock.now();
        let (templates, change) = {
            let _lock = self.lock(subject).await;
            parts.matcher.retain(subject, &[]);
            parts.store.erase(subject, to_micros(at)).await?
        };
        self.wait_for_replicas(change).await?;
        Ok(Erased { templates, at })
    }
}
