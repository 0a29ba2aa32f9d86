//! Who is this?

use face_index::FaceVector;
use uuid::Uuid;

use super::App;
use crate::{
    domain::identification::{Outcome, decide},
    error::Error,
};

pub(crate) struct Identified {
    pub(crate) outcome: Outcome,
    /// Equal for bit-for-bit equal probes of one model.
    pub(crate) probe_mac: [u8; 32],
}

impl App {
    pub(crate) async fn identify(
        &self,
        model: &str,
        vector: &[u8],
        galleries: Vec<Uuid>,
    ) -> Result<Identified, Error> {
        let model = &self.model(model)?.model;
        let probe = FaceVector::from_le_bytes(vector, model.dimension)?;
        self.0.feed.check()?;
        let parts = self.parts();
        let probe_mac = parts.probe_key.mac(&[model.name.as_bytes(), vector]);
        let ranking = parts.matcher.rank(model, probe, galleries).await?;
        Ok(Identified {
            outcome: decide(&ranking, model),
            probe_mac,
        })
    }
}
