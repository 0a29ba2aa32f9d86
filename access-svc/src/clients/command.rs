//! Commands of about the same time go to the edge in one call, of which each is
//! answered when its own partner has.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture};
use mesh::{
    client::{Batch, MeshChannel, Results},
    error::of_refusal,
};
use propdev_proto::{
    gateway::{
        SendCommandBatchRequest, SendCommandRequest, SendCommandResponse, SendCommandResult,
        command_service_client::CommandServiceClient, send_command_result::Result as Outcome,
    },
    mesh::Member,
};
use prost::Message;
use tonic::Status;

const SEND: &str = "/propdev.gateway.v1.CommandService/SendCommand";

#[derive(Clone)]
pub(super) struct CommandCalls {
    client: CommandServiceClient<MeshChannel>,
    channel: MeshChannel,
}

impl CommandCalls {
    pub(super) fn new(client: CommandServiceClient<MeshChannel>, channel: MeshChannel) -> Self {
        Self { client, channel }
    }
}

impl Batch for CommandCalls {
    type Request = SendCommandRequest;
    type Response = SendCommandResponse;

    fn budget(&self) -> Duration {
        self.channel.budget(SEND)
    }

    fn size(request: &SendCommandRequest) -> usize {
        request.encoded_len()
    }

    fn member(request: &mut SendCommandRequest) -> &mut Option<Member> {
        &mut request.member
    }

    fn together(
        &self,
        requests: Vec<SendCommandRequest>,
    ) -> BoxFuture<'static, Result<Results<SendCommandResponse>, Status>> {
        let mut client = self.client.clone();
        async move {
            let answers = client
                .send_command_batch(SendCommandBatchRequest { requests })
                .await?;
            let answers = answers
                .into_inner()
                .map(|answer| -> Result<Vec<_>, Status> {
                    let results = answer?.results.into_iter();
                    Ok(results.map(result).collect())
                });
            Ok(answers.boxed())
        }
        .boxed()
    }

    fn alone(
        &self,
        request: SendCommandRequest,
    ) -> BoxFuture<'static, Result<SendCommandResponse, Status>> {
        let mut client = self.client.clone();
        async move { Ok(client.send_command(request).await?.into_inner()) }.boxed()
    }
}

fn result(result: SendCommandResult) -> (u32, Result<SendCommandResponse, Status>) {
    let outcome = match result.result {
        Some(Outcome::Sent(sent)) => Ok(sent),
        Some(Outcome::Refusal(refusal)) => Err(of_refusal(refusal)),
        None => Err(Status::internal("a result says nothing")),
    };
    (result.index, outcome)
}

#[cfg(test)]
mod tests {
    use mesh::policy::Policy;

    #[test]
    fn the_time_for_a_command_is_its_contracts() {
        let policy = Policy::built_in().expect("contracts");
        assert!(policy.get(super::SEND).is_some());
    }
}
