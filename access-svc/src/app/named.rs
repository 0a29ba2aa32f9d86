//! What is registered, each with what other systems call it.

use uuid::Uuid;

use super::App;
use crate::{
    domain::external_id::{ExternalIds, Object},
    error::Error,
    store::ObjectId,
};

pub(crate) type Named<T> = (T, ExternalIds);

impl App {
    /// Asks once for all of them.
    pub(super) async fn named<T>(
        &self,
        object: Object,
        all: Vec<T>,
        id: impl Fn(&T) -> Uuid,
    ) -> Result<Vec<Named<T>>, Error> {
        let ids: Vec<Uuid> = all.iter().map(&id).collect();
        let mut called = self.parts.store.external_ids(object, ids).await?;
        Ok(all
            .into_iter()
            .map(|one| {
                let external_ids = called.remove(&id(&one)).unwrap_or_default();
                (one, external_ids)
            })
            .collect())
    }

    pub(super) async fn named_one<T>(
        &self,
        object: Object,
        one: T,
        id: Uuid,
    ) -> Result<Named<T>, Error> {
        let object = ObjectId { object, id };
        let external_ids = self.parts.store.external_ids_of(object).await?;
        Ok((one, external_ids))
    }
}
