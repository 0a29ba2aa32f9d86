//! Registering OAuth clients and changing them.

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{App, audit::encoded};
use crate::{
    domain::{
        audit::{Event, Kind},
        client::{Client, Secret, Settings},
        secret,
    },
    error::Error,
    store::Encoded,
};

/// A secret's value, shown once.
pub(crate) type SecretValue = Zeroizing<String>;

impl App {
    /// The client and its secret, which is stored nowhere.
    pub(crate) async fn register_client(
        &self,
        partner: Uuid,
        settings: Settings,
        with_secret: bool,
        actor: String,
    ) -> Result<(Client, Option<SecretValue>), Error> {
        settings.validate()?;
        if !with_secret && settings.keys.is_none() && settings.certificate.is_none() {
            return Err(Error::InvalidField {
                field: "without_secret",
                detail: "needs a jwks or a certificate",
            });
        }
        let now = self.parts.clock.now();
        let mut client = Client {
            id: Uuid::new_v4().to_string(),
            partner,
            settings,
            secrets: vec![],
            webhook_secrets: vec![],
            disabled: false,
            created_at: now,
        };
        let value = if with_secret {
            let (value, secret) = self.new_secret(&client.id, now, None)?;
            client.secrets.push(secret);
            Some(value)
        } else {
            None
        };
        let event = changed(now, "registered", actor)(&client);
        self.parts
            .store
            .insert_client(client.clone(), event)
            .await?;
        self.in_force().await;
        Ok((client, value))
    }

    pub(crate) async fn client(&self, id: &str) -> Result<Client, Error> {
        self.parts
            .store
            .client(id)
            .await?
            .ok_or(Error::ClientNotFound)
    }

    pub(crate) async fn list_clients(
        &self,
        after: Option<String>,
        limit: u64,
    ) -> Result<Vec<Client>, Error> {
        self.parts.store.list_clients(after, limit).await
    }

    pub(crate) async fn update_client(
        &self,
        id: String,
        actor: String,
        change: impl FnOnce(&mut Settings) -> Result<(), Error> + Send + 'static,
    ) -> Result<Client, Error> {
        let event = changed(self.parts.clock.now(), "updated", actor);
        let updated = self.parts.store.update_client(id, change, event).await?;
        self.in_force().await;
        updated.ok_or(Error::ClientNotFound)
    }

    pub(crate) async fn set_client_state(
        &self,
        id: String,
        disabled: bool,
        actor: String,
    ) -> Result<Client, Error> {
        let code = if disabled { "disabled" } else { "enabled" };
        let event = changed(self.parts.clock.now(), code, actor);
        let store = &self.parts.store;
        let updated = store.set_client_state(id, disabled, event).await?;
        self.in_force().await;
        updated.ok_or(Error::ClientNotFound)
    }

    pub(crate) async fn delete_client(&self, id: String, actor: String) -> Result<(), Error> {
        let event = changed(self.parts.clock.now(), "deleted", actor);
        self.parts.store.delete_client(id, event).await?;
        self.in_force().await;
        Ok(())
    }

    pub(crate) async fn add_client_secret(
        &self,
        id: String,
        expires_at: Option<Timestamp>,
        others_expire_at: Option<Timestamp>,
        actor: String,
    ) -> Result<(Client, Secret, SecretValue), Error> {
        let now = self.parts.clock.now();
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Error::InvalidField {
                field: "expires_at",
                detail: "is in the past",
            });
        }
        let (value, secret) = self.new_secret(&id, now, expires_at)?;
        let event = changed(now, "secret_added", actor);
        let added = self
            .parts
            .store
            .add_secret(id, secret.clone(), others_expire_at, event)
            .await?;
        self.in_force().await;
        let client = added.ok_or(Error::ClientNotFound)?;
        Ok((client, secret, value))
    }

    pub(crate) async fn delete_client_secret(
        &self,
        id: String,
        secret: Uuid,
        actor: String,
    ) -> Result<Client, Error> {
        let event = changed(self.parts.clock.now(), "secret_deleted", actor);
        let changed = self.parts.store.delete_secret(id, secret, event).await?;
        self.in_force().await;
        changed.ok_or(Error::ClientNotFound)
    }

    fn new_secret(
        &self,
        client_id: &str,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<(SecretValue, Secret), Error> {
        let value = secret::generate()?;
        let hash = secret::hash(&self.parts.secret_key, client_id, &value).to_vec();
        let secret = Secret {
            id: Uuid::now_v7(),
            hash,
            created_at: now,
            expires_at,
        };
        Ok((value, secret))
    }

    /// What is stored is answered even where this replica learns of it only
    /// when it looks again, like the others.
    pub(super) async fn in_force(&self) {
        if let Err(error) = self.fresh_snapshot().await {
            tracing::warn!(%error, "a change is not in force here yet");
        }
    }
}

/// What the audit is told of a client's change.
pub(super) fn changed(
    at: Timestamp,
    code: &'static str,
    actor: String,
) -> impl FnOnce(&Client) -> Encoded + Send + 'static {
    move |client| {
        encoded(&Event {
            client_id: Some(client.id.clone()),
            partner: Some(client.partner),
            code,
            actor: Some(actor),
            ..Event::new(Kind::ClientChanged, at)
        })
    }
}
