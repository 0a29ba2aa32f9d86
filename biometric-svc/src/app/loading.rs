//! Filling the index from the store.

use std::{collections::BTreeSet, time::Instant};

use face_index::FaceVector;
use uuid::Uuid;

use super::App;
use crate::{
    error::Error,
    index::{Place, Protected},
    store::StoredTemplate,
};

impl App {
    /// Until it has ended, whoever asks is refused.
    pub(crate) async fn load(&self) -> Result<(), Error> {
        let started = Instant::now();
        let parts = self.parts();
        // What changes while the rows are read is read again.
        let change = parts.store.last_change().await?;
        parts.store.check_epochs().await?;
        self.finish_erasures().await?;
        self.finish_renewals().await?;
        if let [only] = &*parts.models {
            let count = parts.store.count_templates().await?;
            parts
                .matcher
                .reserve(&only.model, usize::try_from(count).unwrap_or(0));
        }
        let (mut refused, mut bare) = (Vec::new(), Vec::new());
        let corrupt = parts
            .store
            .load(|subject, galleries, stored| {
                if stored.rotation == 0 {
                    bare.push((subject, stored));
                } else if !self.take_in(subject, galleries, &stored) {
                    refused.push((subject, stored.id));
                }
            })
            .await?;
        for (subject, stored) in bare {
            let id = stored.id;
            if !self.protect_bare(subject, stored).await? {
                refused.push((subject, id));
            }
        }
        let corrupt: BTreeSet<_> = corrupt.into_iter().chain(refused).collect();
        let rows = corrupt.len();
        self.0.corrupt.set_all(corrupt);
        self.0.feed.begin(change, started);
        let counts = parts.matcher.counts();
        tracing::info!(
            templates = ?counts.templates,
            seconds = started.elapsed().as_secs_f32(),
            "index loaded"
        );
        if rows > 0 {
            tracing::error!(rows, "rows that do not open are left out");
        }
        Ok(())
    }

    /// False where the template is damaged. One of a model, version or
    /// rotation that is not served stays asleep.
    pub(super) fn take_in(
        &self,
        subject: Uuid,
        galleries: &[Uuid],
        stored: &StoredTemplate,
    ) -> bool {
        let Ok(known) = self.model(&stored.model) else {
            return true;
        };
        if known.model.version != stored.model_version || known.rotation != stored.rotation {
            return true;
        }
        let place = Place {
            subject,
            template: stored.id,
            galleries,
        };
        self.parts()
            .matcher
            .put(&place, &known.model, &stored.content)
    }

    /// Version 0.1 kept vectors bare under the subject's key: from the first
    /// start on they are kept as all others.
    async fn protect_bare(&self, subject: Uuid, stored: StoredTemplate) -> Result<bool, Error> {
        let Ok(known) = self.model(&stored.model) else {
            return Ok(true);
        };
        let Ok(vector) = FaceVector::from_le_bytes(&stored.content.0, known.model.dimension) else {
            return Ok(false);
        };
        let content: Protected = self.parts().matcher.protect(&known.model, &vector)?;
        self.parts()
            .store
            .replace_content(subject, stored.id, known.rotation, content)
            .await?;
        let Some(now) = self.parts().store.subject(subject).await? else {
            return Ok(true);
        };
        let good = now
            .templates
            .iter()
            .filter(|template| template.id == stored.id)
            .all(|template| self.take_in(subject, &now.galleries, template));
        Ok(good)
    }
}
