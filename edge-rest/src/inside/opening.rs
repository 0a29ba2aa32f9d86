//! Requests to open of about the same time go inside in one call, of which
//! each is answered when its own door has been.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture};
use mesh::{
    client::{Batch, MeshChannel, Results},
    error::of_refusal,
};
use propdev_proto::{
    access::{
        OpenBatchRequest, OpenRequest, OpenResponse, OpenResult, open_result::Result as Outcome,
        opening_service_client::OpeningServiceClient,
    },
    mesh::Member,
};
use prost::Message;
use tonic::Status;

const OPEN: &str = "/propdev.access.v1.OpeningService/Open";

#[derive(Clone)]
pub(super) struct OpenCalls {
    client: OpeningServiceClient<MeshChannel>,
    channel: MeshChannel,
}

impl OpenCalls {
    pub(super) fn new(client: OpeningServiceClient<MeshChannel>, channel: MeshChannel) -> Self {
        Self { client, channel }
    }
}

impl Batch for OpenCalls {
    type Request = OpenRequest;
    type Response = OpenResponse;

    fn budget(&self) -> Duration {
        self.channel.budget(OPEN)
    }

    fn size(request: &OpenRequest) -> usize {
        request.encoded_len()
    }

    fn member(request: &mut OpenRequest) -> &mut Option<Member> {
        &mut request.member
    }

    fn together(
        &self,
        requests: Vec<OpenRequest>,
    ) -> BoxFuture<'static, Result<Results<OpenResponse>, Status>> {
        let mut client = self.client.clone();
        async move {
            let answers = client.open_batch(OpenBatchRequest { requests }).await?;
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

    fn alone(&self, request: OpenRequest) -> BoxFuture<'static, Result<OpenResponse, Status>> {
        let mut client = self.client.clone();
        async move { Ok(client.open(request).await?.into_inner()) }.boxed()
    }
}

fn result(result: OpenResult) -> (u32, Result<OpenResponse, Status>) {
    let outcome = match result.result {
        Some(Outcome::Opened(opened)) => Ok(opened),
        Some(Outcome::Refusal(refusal)) => Err(of_refusal(refusal)),
        None => Err(Status::internal("a result says nothing")),
    };
    (result.index, outcome)
}

#[cfg(test)]
mod tests {
    use mesh::policy::Policy;

    #[test]
    fn the_time_for_an_opening_is_its_contracts() {
        let policy = Policy::built_in().expect("contracts");
        assert!(policy.get(super::OPEN).is_some());
    }
}
