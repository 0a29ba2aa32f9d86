//! Another rotation for a model's templates. It is drawn on request and takes
//! effect when the service has started over: until then every replica would
//! have to know two.

use std::sync::Arc;

use face_index::Renewal;

use super::App;
use crate::{error::Error, store::RotationOf};

/// Templates moved in one commit.
const TOGETHER: u64 = 500;

impl App {
    /// How often the model's rotation has been renewed, this time included.
    pub(crate) async fn renew_rotation(&self, model: &str) -> Result<u32, Error> {
        let known = self.model(model)?;
        let parts = self.parts();
        if !parts.store.other_replicas().await?.is_empty() {
            return Err(Error::OtherReplicas);
        }
        let rotations = parts.store.rotations(&known.model).await?;
        let Some(RotationOf { number, rotation }) = rotations.into_iter().next_back() else {
            return Err(Error::UnknownModel);
        };
        let renewed = tokio::task::spawn_blocking(move || rotation.renewed(&mut rand::rng()))
            .await
            .map_err(|_| Error::Task)??;
        let renewals = renewed.renewals();
        let act = self.act("rotation_renewed", model.to_owned());
        parts
            .store
            .add_rotation(&known.model, number + 1, &renewed, act.at, Some(act))
            .await?;
        tracing::info!(model, renewals, "a rotation was renewed");
        (parts.restart)();
        Ok(renewals)
    }

    /// Moves templates of older rotations to the newest one, and then destroys
    /// the older ones.
    pub(super) async fn finish_renewals(&self) -> Result<(), Error> {
        let store = &self.parts().store;
        for known in &self.parts().models {
            let mut rotations = store.rotations(&known.model).await?;
            let Some(newest) = rotations.pop() else {
                continue;
            };
            for old in rotations {
                let renewal = Renewal::between(&old.rotation, &newest.rotation)
                    .map(Arc::new)
                    .ok_or(Error::UnknownModel)?;
                let mut moved = 0;
                loop {
                    let step = store
                        .move_templates(&known.model, &old, newest.number, &renewal, TOGETHER)
                        .await?;
                    if step == 0 {
                        break;
                    }
                    moved += step;
                }
                store.delete_rotation(&known.model, old.number).await?;
                tracing::info!(model = %known.model.name, templates = moved, "templates were moved to the renewed rotation");
            }
        }
        Ok(())
    }
}
