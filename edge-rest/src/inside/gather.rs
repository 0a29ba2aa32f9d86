//! Token requests of about the same time go inside in one call: a call between
//! services costs more than the signature it asks for.

use futures::FutureExt;
use mesh::{
    client::MeshChannel,
    error::of_refusal,
    gather::{Gatherer, Rejected},
};
use propdev_proto::auth::{
    IssueTokenRequest, IssueTokenResponse, IssueTokensRequest,
    issue_token_result::Result as Outcome, token_service_client::TokenServiceClient,
};
use prost::Message;
use tonic::Status;

/// Requests of one kind: what is slow must not stand in the way of what is not.
pub(super) struct TokenRequests(Gatherer<IssueTokenRequest, Result<IssueTokenResponse, Status>>);

impl TokenRequests {
    pub(super) fn start(
        client: TokenServiceClient<MeshChannel>,
        calls: usize,
        together: usize,
    ) -> Self {
        let work = move |requests| call(client.clone(), requests).boxed();
        Self(Gatherer::start_sized(
            calls,
            together,
            IssueTokenRequest::encoded_len,
            work,
        ))
    }

    pub(super) async fn issue(
        &self,
        request: IssueTokenRequest,
    ) -> Result<IssueTokenResponse, Status> {
        match self.0.submit(request).await {
            Ok(result) => result,
            Err(Rejected::Full) => Err(Status::resource_exhausted("too many token requests wait")),
            Err(Rejected::GivenUp) => Err(Status::internal("a request got no result")),
        }
    }
}

async fn call(
    mut client: TokenServiceClient<MeshChannel>,
    requests: Vec<IssueTokenRequest>,
) -> Vec<Result<IssueTokenResponse, Status>> {
    let count = requests.len();
    match client.issue_tokens(IssueTokensRequest { requests }).await {
        Ok(response) => {
            let results = response.into_inner().results.into_iter();
            results
                .map(|result| match result.result {
                    Some(Outcome::Issued(issued)) => Ok(issued),
                    Some(Outcome::Refusal(refusal)) => Err(of_refusal(refusal)),
                    None => Err(Status::internal("a result says nothing")),
                })
                .collect()
        }
        Err(status) => vec![Err(status); count],
    }
}
