//! Registering and listing OAuth clients.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use crate::{
    domain::{
        client::{Client, Registration},
        secret,
    },
    error::Error,
};

impl App {
    /// The client and its secret, which is stored nowhere.
    pub(crate) async fn register_client(
        &self,
        registration: Registration,
    ) -> Result<(Client, Zeroizing<String>), Error> {
        registration.validate()?;
        let client = Client {
            id: Uuid::new_v4().to_string(),
            partner: registration.partner,
            name: registration.name,
            sites: registration.sites,
            scopes: registration.scopes,
            permissions: registration.permissions,
            disabled: false,
            created_at: self.parts.clock.now(),
        };
        let secret = secret::generate()?;
        let hash = secret::hash(&self.parts.secret_key, &client.id, &secret);
        self.parts
            .store
            .insert_client(client.clone(), hash.to_vec())
            .await?;
        Ok((client, secret))
    }

    pub(crate) async fn list_clients(
        &self,
        after: Option<String>,
        limit: u64,
    ) -> Result<Vec<Client>, Error> {
        self.parts.store.list_clients(after, limit).await
    }

    pub(crate) async fn set_client_state(
        &self,
        client_id: String,
        disabled: bool,
    ) -> Result<Client, Error> {
        self.parts
            .store
            .set_client_state(client_id, disabled)
            .await?
            .ok_or(Error::ClientNotFound)
    }

    /// The client, if the secret is its own and it is not disabled; one error
    /// and the same work for every reason.
    pub(super) async fn authenticate(
        &self,
        client_id: &str,
        client_secret: &str,
    ) -> Result<Client, Error> {
        let (client, hashes) = match self.parts.store.client_with_secrets(client_id).await? {
            Some((client, hashes)) => (Some(client), hashes),
            None => (None, vec![]),
        };
        let good = secret::verify(&self.parts.secret_key, client_id, client_secret, &hashes);
        client
            .filter(|client| good && !client.disabled)
            .ok_or(Error::InvalidClient)
    }
}
