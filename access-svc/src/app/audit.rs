//! What auth-svc has to tell of tokens, clients and keys.

use super::App;
use crate::{
    error::Error,
    store::{AuthEvent, Page},
};

impl App {
    /// Answers once all are durable; those taken before are not taken twice.
    pub(crate) async fn append_auth_events(&self, events: Vec<AuthEvent>) -> Result<(), Error> {
        self.parts.store.insert_auth_events(events).await
    }

    /// Newest first.
    pub(crate) async fn list_auth_events(
        &self,
        client_id: Option<String>,
        page: Page,
    ) -> Result<Vec<AuthEvent>, Error> {
        self.parts.store.list_auth_events(client_id, page).await
    }
}
