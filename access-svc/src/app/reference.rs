//! By what name something registered is asked for.

use uuid::Uuid;

use super::App;
use crate::{
    domain::external_id::{ExternalId, Object},
    error::{Error, Noun},
};

pub(crate) enum By {
    Id(Uuid),
    ExternalId(ExternalId),
}

impl App {
    /// Our id of what is asked for; whether there is one by an id of ours is not looked at.
    pub(crate) async fn id_of(&self, object: Object, by: By) -> Result<Uuid, Error> {
        match by {
            By::Id(id) => Ok(id),
            By::ExternalId(external) => {
                let found = self.parts.store.resolve_one(object, external).await?;
                found.ok_or(Error::NotFound(Noun::ExternalId))
            }
        }
    }

    pub(crate) async fn resolve(
        &self,
        object: Object,
        ids: Vec<ExternalId>,
    ) -> Result<Vec<Option<Uuid>>, Error> {
        if !(1..=1_000).contains(&ids.len()) {
            return Err(Error::InvalidField {
                field: "external_ids",
                detail: "must be 1 to 1,000",
            });
        }
        self.parts.store.resolve(object, &ids).await
    }
}
