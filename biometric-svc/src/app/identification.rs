//! Who is this?

use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        identification::{Outcome, decide},
        vector::FaceVector,
    },
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
        let model = self.model(model)?;
        let probe = FaceVector::from_le_bytes(vector, model.dimension)?;
        let probe_mac = self.probe_key.mac(&[model.name.as_bytes(), vector]);
        let ranking = self.matcher.rank(&model.name, probe, galleries).await?;
        Ok(Identified {
            outcome: decide(&ranking, model),
            probe_mac,
        })
    }
}
