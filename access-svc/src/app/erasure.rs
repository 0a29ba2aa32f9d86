//! Final deletion of a resident: a sequence that a crash or an absent service
//! interrupts and that is finished later.

use audit_log::{Entry, Kind, entry::code};
use jiff::Timestamp;
use uuid::Uuid;

use super::App;
use crate::{
    domain::entry,
    error::{Error, Noun},
    store::ErasedCounts,
};

pub(crate) struct Erased {
    pub(crate) at: Timestamp,
    pub(crate) templates: u32,
    pub(crate) counts: ErasedCounts,
}

impl App {
    /// Rights end first, durably; then the biometrics; then key and rows.
    pub(crate) async fn erase_resident(&self, id: Uuid) -> Result<Erased, Error> {
        let store = &self.parts.store;
        let subject = store
            .begin_erasure(id, self.erasure("begun"))
            .await?
            .ok_or(Error::NotFound(Noun::Resident))?;
        let templates = self.parts.biometric.erase(subject).await?;
        let counts = store
            .finish_erasure(id, self.erasure(code::FINISHED))
            .await?;
        tracing::info!("a resident was erased");
        Ok(Erased {
            at: self.parts.clock.now(),
            templates,
            counts,
        })
    }

    fn erasure(&self, code: &str) -> Entry {
        entry::act(Kind::Erasure, code, self.parts.clock.now())
    }

    pub(super) async fn finish_erasures(&self) -> Result<(), Error> {
        for id in self.parts.store.unfinished_erasures().await? {
            self.erase_resident(id).await?;
        }
        Ok(())
    }
}
