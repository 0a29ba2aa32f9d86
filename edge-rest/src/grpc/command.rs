//! `CommandService`: commands out, and probes of a partner's auth server.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
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
        let left = left_to_start(issued_at, expires_at, self.clock.now());
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

/// How long the command may still be started, by the monotonic clock from now
/// on. Where the wall clock has stepped back since the decision it is still no
/// longer than it ever was.
fn left_to_start(issued_at: Timestamp, expires_at: Timestamp, now: Timestamp) -> Duration {
    let from = |start: Timestamp| {
        let left = expires_at.duration_since(start);
        Duration::try_from(left).unwrap_or(Duration::ZERO)
    };
    from(now).min(from(issued_at)).min(MAX_WINDOW)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_clock_gives_a_command_no_more_time() {
        let time = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let issued_at = time("2026-11-24T06:00:00Z");
        let left = |expires_at: &str, now: &str| {
            let left = left_to_start(issued_at, time(expires_at), time(now));
            left.as_millis()
        };
        let expires_at = "2026-11-24T06:00:05Z";
        assert_eq!(left(expires_at, "2026-11-24T06:00:00.250Z"), 4_750);
        assert_eq!(left(expires_at, "2026-11-24T06:00:05Z"), 0);
        // Forward, and back.
        assert_eq!(left(expires_at, "2026-11-24T07:00:00Z"), 0);
        assert_eq!(left(expires_at, "2026-11-24T05:59:30Z"), 5_000);
        assert_eq!(left(expires_at, "2026-11-23T06:00:00Z"), 5_000);
        // Absurd, and impossible.
        assert_eq!(left("2027-11-24T06:00:00Z", "2026-11-24T06:00:00Z"), 60_000);
        assert_eq!(left("2026-11-24T05:59:00Z", "2026-11-24T05:58:00Z"), 0);
    }
}
