//! Secrets with which a client signs its webhooks.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    App,
    clients::{SecretValue, changed},
};
use crate::{
    domain::{
        client::Client,
        webhook_secret::{self, WebhookSecret},
    },
    error::Error,
    store::Arrival,
};

impl App {
    /// The first: from now on the client must sign.
    pub(crate) async fn set_webhook_secret(
        &self,
        client_id: String,
        actor: String,
    ) -> Result<(Client, WebhookSecret, SecretValue), Error> {
        self.add_webhook_secret(client_id, Arrival::First, "webhook_secret_set", actor)
            .await
    }

    /// Another, so that the client can change over without a break.
    pub(crate) async fn rotate_webhook_secret(
        &self,
        client_id: String,
        others_expire_at: Option<Timestamp>,
        actor: String,
    ) -> Result<(Client, WebhookSecret, SecretValue), Error> {
        let arrival = Arrival::Another { others_expire_at };
        self.add_webhook_secret(client_id, arrival, "webhook_secret_rotated", actor)
            .await
    }

    async fn add_webhook_secret(
        &self,
        client_id: String,
        arrival: Arrival,
        code: &'static str,
        actor: String,
    ) -> Result<(Client, WebhookSecret, SecretValue), Error> {
        let now = self.parts.clock.now();
        let value = webhook_secret::generate()?;
        let secret = WebhookSecret {
            id: Uuid::now_v7(),
            created_at: now,
            expires_at: None,
        };
        let event = changed(now, code, actor);
        let added = self
            .parts
            .store
            .add_webhook_secret(client_id, secret.clone(), &value, arrival, event)
            .await?;
        self.in_force().await;
        let client = added.ok_or(Error::ClientNotFound)?;
        Ok((client, secret, webhook_secret::written(&value)))
    }

    /// One, or all: a client without any need not sign.
    pub(crate) async fn remove_webhook_secrets(
        &self,
        client_id: String,
        secret: Option<Uuid>,
        actor: String,
    ) -> Result<Client, Error> {
        let event = changed(self.parts.clock.now(), "webhook_secret_removed", actor);
        let changed = self
            .parts
            .store
            .remove_webhook_secrets(client_id, secret, event)
            .await?;
        self.in_force().await;
        changed.ok_or(Error::ClientNotFound)
    }
}
