//! Webhooks' calls of about the same time go inside in one: a call between
//! services costs more than the event it tells.

use futures::FutureExt;
use mesh::{
    client::MeshChannel,
    context::CallContext,
    error::of_refusal,
    gather::{Gatherer, Rejected},
    trace::traceparent,
};
use propdev_proto::access::{
    RecordCredentialOpeningsBatchRequest, RecordCredentialOpeningsRequest,
    RecordCredentialOpeningsResponse, event_service_client::EventServiceClient,
    record_credential_openings_result::Result as Outcome,
};
use prost::Message;
use tonic::Status;

/// Calls under way, and how many requests each takes: access-svc gathers again.
const CALLS: usize = 4;
const TOGETHER: usize = 32;

/// A larger request costs by itself what a call does, and others would wait
/// for it.
const SMALL: usize = 16 * 1024;

type Recorded = Result<RecordCredentialOpeningsResponse, Status>;

/// Openings by key and fob as partners tell them.
pub(super) struct CredentialOpenings {
    client: EventServiceClient<MeshChannel>,
    small: Gatherer<RecordCredentialOpeningsRequest, Recorded>,
}

impl CredentialOpenings {
    pub(super) fn start(client: EventServiceClient<MeshChannel>) -> Self {
        let of_group = client.clone();
        Self {
            client,
            small: Gatherer::start_sized(
                CALLS,
                TOGETHER,
                RecordCredentialOpeningsRequest::encoded_len,
                move |requests| call(of_group.clone(), requests).boxed(),
            ),
        }
    }

    pub(super) async fn record(&self, mut request: RecordCredentialOpeningsRequest) -> Recorded {
        if request.encoded_len() > SMALL {
            let mut client = self.client.clone();
            let answer = client.record_credential_openings(request).await?;
            return Ok(answer.into_inner());
        }
        request.request_id =
            CallContext::current().map_or_else(String::new, |context| context.request_id);
        request.traceparent = traceparent();
        match self.small.submit(request).await {
            Ok(result) => result,
            Err(Rejected::Full) => Err(Status::resource_exhausted("too many webhooks wait")),
            Err(Rejected::GivenUp) => Err(Status::internal("a request got no result")),
        }
    }
}

async fn call(
    mut client: EventServiceClient<MeshChannel>,
    requests: Vec<RecordCredentialOpeningsRequest>,
) -> Vec<Recorded> {
    let count = requests.len();
    let request = RecordCredentialOpeningsBatchRequest { requests };
    match client.record_credential_openings_batch(request).await {
        Ok(response) => {
            let results = response.into_inner().results.into_iter();
            results
                .map(|result| match result.result {
                    Some(Outcome::Recorded(recorded)) => Ok(recorded),
                    Some(Outcome::Refusal(refusal)) => Err(of_refusal(refusal)),
                    None => Err(Status::internal("a result says nothing")),
                })
                .collect()
        }
        Err(status) => vec![Err(status); count],
    }
}
