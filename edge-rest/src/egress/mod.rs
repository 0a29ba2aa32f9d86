//! The only way out: partners' auth servers and gateways, each with a client,
//! a pool, a limit and a circuit breaker of its own; and witnesses of the audit
//! log. Nothing here is kept
//! beyond the process, and nothing of tokens or secrets is logged.

mod address;
mod breaker;
mod client;
mod command;
mod partner;
mod settings;
mod token;
mod witness;

use std::{collections::HashMap, sync::Arc};

use opentelemetry::{KeyValue, global, metrics::Counter};
use propdev_proto::gateway::send_command_response::Outcome;
use tokio::sync::Mutex;
use tonic::Status;

pub(crate) use command::{Command, Sent, Window};
use partner::Partner;
pub(crate) use settings::OurClient;
use settings::Settings;

use crate::{config::EgressConfig, inside::Inside};
use client::Clients;

/// A partner as last read; the lock makes one reader of many.
type Slot = Arc<Mutex<Option<Arc<Partner>>>>;

pub(crate) struct Egress {
    inside: Arc<dyn Inside>,
    config: EgressConfig,
    clients: Clients,
    partners: std::sync::Mutex<HashMap<String, Slot>>,
    outcomes: Counter<u64>,
}

#[derive(Debug, thiserror::Error)]
enum PartnerError {
    #[error("its settings could not be read: {:?}", .0.code())]
    Settings(#[from] Box<Status>),
    #[error(transparent)]
    Wrong(#[from] settings::SettingsFault),
}

impl Egress {
    pub(crate) fn new(config: EgressConfig, inside: Arc<dyn Inside>) -> Self {
        Self {
            inside,
            config,
            clients: Clients::new(config),
            partners: std::sync::Mutex::default(),
            outcomes: global::meter("edge")
                .u64_counter("edge.egress.commands")
                .build(),
        }
    }

    /// Sends one command. Where nothing was sent, for whatever reason, that
    /// is an outcome too: surely nothing opened.
    pub(crate) async fn send(&self, command: &Command) -> Sent {
        let partner = tokio::time::timeout_at(
            command.window.last_start,
            self.partner(&command.partner_id, command.settings_version),
        )
        .await;
        let sent = match partner {
            Ok(Ok(partner)) => command.send(&partner).await,
            Ok(Err(error)) => {
                tracing::warn!(partner_id = command.partner_id, %error, "partner not usable");
                Sent::none(Outcome::Expired)
            }
            Err(_) => Sent::none(Outcome::Expired),
        };
        self.outcomes
            .add(1, &[KeyValue::new("outcome", sent.outcome.as_str_name())]);
        tracing::debug!(
            partner_id = command.partner_id,
            command_id = command.command_id,
            outcome = sent.outcome.as_str_name(),
            partner_status = sent.partner_status,
            tries = sent.tries,
            "command"
        );
        sent
    }

    /// What is wrong with our two clients at a partner: intercom, barrier.
    pub(crate) async fn probe(
        &self,
        partner_id: &str,
        settings_version: i64,
    ) -> Result<[String; 2], Status> {
        let partner = match self.partner(partner_id, settings_version).await {
            Ok(partner) => partner,
            Err(PartnerError::Settings(status)) => return Err(*status),
            Err(PartnerError::Wrong(fault)) => return Ok([fault.to_string(), fault.to_string()]),
        };
        let ask = async |client| match partner.fresh_token(client).await {
            Ok(_) => String::new(),
            Err(fault) => fault.to_string(),
        };
        let (intercom, barrier) = tokio::join!(ask(OurClient::Intercom), ask(OurClient::Barrier));
        Ok([intercom, barrier])
    }

    /// The partner with at least these settings; read once for all who wait.
    async fn partner(&self, id: &str, version: i64) -> Result<Arc<Partner>, PartnerError> {
        let slot = {
            // A panic elsewhere cannot leave the map half-changed.
            let mut partners = self
                .partners
                .lock()
                .unwrap_or_else(|poison| poison.into_inner());
            partners.entry(id.to_owned()).or_default().clone()
        };
        let mut held = slot.lock().await;
        if let Some(partner) = held.as_ref().filter(|partner| partner.version() >= version) {
            return Ok(partner.clone());
        }
        let answer = self.inside.egress_settings(id).await.map_err(Box::new)?;
        let settings = Settings::read(answer, self.clients.addresses())?;
        let client = self.clients.of(settings.roots.clone())?;
        let places = self.config.concurrency_per_partner.get().into();
        let partner = Arc::new(Partner::new(settings, client, places));
        *held = Some(partner.clone());
        Ok(partner)
    }
}

#[cfg(test)]
mod tests;
