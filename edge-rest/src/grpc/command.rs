//! `CommandService`: commands out, and probes of a partner's auth server.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use mesh::{Clock, context::CallContext, error, server::answer_each};
use propdev_proto::gateway::{
    PartnerClient, ProbePartnerRequest, ProbePartnerResponse, SendCommandBatchRequest,
    SendCommandBatchResponse, SendCommandRequest, SendCommandResponse, SendCommandResult,
    command_service_server::CommandService, send_command_result,
};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::{
    egress::{Command, Egress, OurClient, Window},
    syntax::{from_proto, is_partner_id},
};

/// Kept back from the call's deadline, so that the outcome still arrives.
const MARGIN: Duration = Duration::from_millis(100);
/// An answer may come this long after the expiry: the last try may begin just
/// before it.
const ANSWER_GRACE: Duration = Duration::from_secs(1);
/// A command lives a few seconds; an absurd expiry holds nothing for longer.
const MAX_WINDOW: Duration = Duration::from_secs(60);
/// Commands that come in one call.
const MOST_COMMANDS: usize = 64;

#[derive(Clone)]
pub(crate) struct Commands {
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
}

impl Commands {
    pub(crate) fn new(egress: Arc<Egress>, clock: Arc<dyn Clock>) -> Self {
        Self { egress, clock }
    }

    async fn send(&self, request: SendCommandRequest) -> Result<SendCommandResponse, Status> {
        let command = self.read(request)?;
        let sent = self.egress.send(&command).await;
        Ok(SendCommandResponse {
            outcome: sent.outcome.into(),
            partner_status: sent.partner_status.into(),
            tries: sent.tries,
        })
    }

    fn read(&self, request: SendCommandRequest) -> Result<Command, Status> {
        let client = match request.client() {
            PartnerClient::Intercom => OurClient::Intercom,
            PartnerClient::Barrier => OurClient::Barrier,
            PartnerClient::Unspecified => return Err(malformed("client")),
        };
        for (name, id) in [
            ("partner_id", &request.partner_id),
            ("command_id", &request.command_id),
            ("opening_id", &request.opening_id),
        ] {
            Uuid::parse_str(id).map_err(|_| malformed(name))?;
        }
        if !is_partner_id(&request.device_id) {
            return Err(malformed("device_id"));
        }
        let issued_at = request
            .issued_at
            .and_then(from_proto)
            .ok_or_else(|| malformed("issued_at"))?;
        let expires_at = request
            .expires_at
            .and_then(from_proto)
            .ok_or_else(|| malformed("expires_at"))?;
        // The wall clock is read once; a step of it later moves nothing.
        let left = Duration::try_from(expires_at.duration_since(self.clock.now()))
            .unwrap_or(Duration::ZERO)
            .min(MAX_WINDOW);
        let answer_within = CallContext::current()
            .map_or(left + ANSWER_GRACE, |call| {
                call.remaining().saturating_sub(MARGIN)
            })
            .min(left + ANSWER_GRACE);
        let now = Instant::now();
        Ok(Command {
            partner_id: request.partner_id,
            settings_version: request.settings_version,
            client,
            device_id: request.device_id,
            command_id: request.command_id,
            opening_id: request.opening_id,
            issued_at,
            expires_at,
            window: Window {
                last_start: now + left.min(answer_within),
                give_up: now + answer_within,
            },
        })
    }
}

#[tonic::async_trait]
impl CommandService for Commands {
    async fn send_command(
        &self,
        request: Request<SendCommandRequest>,
    ) -> Result<Response<SendCommandResponse>, Status> {
        Ok(Response::new(self.send(request.into_inner()).await?))
    }

    type SendCommandBatchStream = BoxStream<'static, Result<SendCommandBatchResponse, Status>>;

    async fn send_command_batch(
        &self,
        request: Request<SendCommandBatchRequest>,
    ) -> Result<Response<Self::SendCommandBatchStream>, Status> {
        let (_, extensions, SendCommandBatchRequest { requests }) = request.into_parts();
        if !(1..=MOST_COMMANDS).contains(&requests.len()) {
            return Err(malformed("requests"));
        }
        let requests = requests.into_iter().map(|mut message| {
            let commands = self.clone();
            let member = message.member.take();
            (member, async move { commands.send(message).await })
        });
        let answers = answer_each(&extensions, requests).map(|results| {
            let results = results
                .into_iter()
                .map(|(index, result)| result_message(index, result));
            Ok(SendCommandBatchResponse {
                results: results.collect(),
            })
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn probe_partner(
        &self,
        request: Request<ProbePartnerRequest>,
    ) -> Result<Response<ProbePartnerResponse>, Status> {
        let request = request.into_inner();
        Uuid::parse_str(&request.partner_id).map_err(|_| malformed("partner_id"))?;
        let [intercom_fault, barrier_fault] = self
            .egress
            .probe(&request.partner_id, request.settings_version)
            .await?;
        Ok(Response::new(ProbePartnerResponse {
            intercom_fault,
            barrier_fault,
        }))
    }
}

fn result_message(index: u32, result: Result<SendCommandResponse, Status>) -> SendCommandResult {
    let result = match result {
        Ok(sent) => send_command_result::Result::Sent(sent),
        Err(status) => send_command_result::Result::Refusal(error::refusal(&status)),
    };
    SendCommandResult {
        index,
        result: Some(result),
    }
}

fn malformed(field: &str) -> Status {
    error::status(
        Code::InvalidArgument,
        "MALFORMED_REQUEST",
        format!("{field} is missing or malformed"),
    )
}
