use jiff::Timestamp;
use mesh::client::{Batcher, MeshChannel, never_sent};
use propdev_proto::gateway::{
    AddCheckpointRequest, PartnerClient, ProbePartnerRequest, SendCommandRequest,
    add_checkpoint_response, command_service_client::CommandServiceClient,
    send_command_response::Outcome, witness_service_client::WitnessServiceClient,
};
use uuid::Uuid;

use super::{command::CommandCalls, unexpected};
use crate::{
    domain::{
        device::DeviceKind,
        opening::{Command, CommandStatus, Opening},
    },
    error::Error,
};

#[derive(Clone)]
pub(crate) struct Edge {
    client: CommandServiceClient<MeshChannel>,
    commands: Batcher<CommandCalls>,
    witnesses: WitnessServiceClient<MeshChannel>,
}

/// What a witness of the audit log said.
pub(crate) enum Witnessed {
    /// Its signatures, a line each.
    Signed(String),
    /// It has seen a tree of this size last.
    Knows(u64),
    /// With this HTTP status; 0 where it was not reached.
    Refused(u32),
}

impl Edge {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        let client = CommandServiceClient::new(channel.clone());
        let calls = CommandCalls::new(client.clone(), channel.clone());
        Self {
            client,
            commands: Batcher::start(calls),
            witnesses: WitnessServiceClient::new(channel),
        }
    }

    /// Sends a command once and tells what became of it. Whatever cannot be
    /// told apart from success is unknown.
    pub(crate) async fn send(
        &self,
        opening: &Opening,
        command: &Command,
        settings_version: i64,
    ) -> CommandStatus {
        let request = SendCommandRequest {
            partner_id: opening.partner.to_string(),
            settings_version,
            client: match opening.kind {
                DeviceKind::Door => PartnerClient::Intercom,
                DeviceKind::Barrier => PartnerClient::Barrier,
            }
            .into(),
            device_id: opening.device_id.clone(),
            command_id: command.id.to_string(),
            opening_id: opening.id.to_string(),
            issued_at: Some(timestamp(opening.decided_at)),
            expires_at: Some(timestamp(command.expires_at)),
            member: None,
        };
        match self.commands.ask(request).await {
            Ok(response) => match response.outcome() {
                Outcome::Delivered => CommandStatus::Delivered,
                Outcome::Rejected => CommandStatus::Rejected,
                Outcome::Expired => CommandStatus::Expired,
                Outcome::Unknown | Outcome::Unspecified => CommandStatus::Unknown,
            },
            Err(status) if never_sent(&status) => CommandStatus::Expired,
            Err(status) => {
                tracing::warn!(code = ?status.code(), "the command's outcome is unknown");
                CommandStatus::Unknown
            }
        }
    }

    pub(crate) async fn add_checkpoint(
        &self,
        request: AddCheckpointRequest,
    ) -> Result<Witnessed, Error> {
        use add_checkpoint_response::Outcome;
        let answer = self
            .witnesses
            .clone()
            .add_checkpoint(request)
            .await
            .map_err(|status| unexpected("edge-rest", &status))?
            .into_inner();
        Ok(match answer.outcome() {
            Outcome::Accepted => Witnessed::Signed(answer.signatures),
            Outcome::Conflict => Witnessed::Knows(answer.known_size),
            Outcome::Refused | Outcome::Unreachable | Outcome::Unspecified => {
                Witnessed::Refused(answer.status)
            }
        })
    }

    /// What goes wrong with each of our clients at the partner; empty for nothing.
    pub(crate) async fn probe(
        &self,
        partner: Uuid,
        settings_version: i64,
    ) -> Result<(String, String), Error> {
        let response = self
            .client
            .clone()
            .probe_partner(ProbePartnerRequest {
                partner_id: partner.to_string(),
                settings_version,
            })
            .await
            .map_err(|status| unexpected("edge-rest", &status))?
            .into_inner();
        Ok((response.intercom_fault, response.barrier_fault))
    }
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}
