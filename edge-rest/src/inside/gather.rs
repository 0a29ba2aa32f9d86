//! Gathers token requests that come at about the same time into one call: a
//! call between services costs more than the signature it asks for. There is
//! no timer: a call takes what has queued up while others were under way.

use std::sync::Arc;

use mesh::{client::MeshChannel, context::CallContext};
use propdev_proto::auth::{
    IssueTokenRequest, IssueTokenResponse, IssueTokensRequest, Refusal,
    issue_token_result::Result as Outcome, token_service_client::TokenServiceClient,
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::{Instrument, Span};

const QUEUE: usize = 1_024;

/// A request, where its answer goes, and the trace it belongs to.
struct Waiting {
    request: IssueTokenRequest,
    answer: oneshot::Sender<Result<IssueTokenResponse, Status>>,
    context: Option<CallContext>,
    span: Span,
}

/// Requests of one kind: what is slow must not stand in the way of what is not.
#[derive(Clone)]
pub(super) struct Gatherer {
    queue: mpsc::Sender<Waiting>,
}

impl Gatherer {
    /// At most `calls` under way, each of at most `together` requests.
    pub(super) fn start(
        client: TokenServiceClient<MeshChannel>,
        calls: usize,
        together: usize,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(gather(client, waiting, calls, together));
        Self { queue }
    }

    pub(super) async fn issue(
        &self,
        request: IssueTokenRequest,
    ) -> Result<IssueTokenResponse, Status> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            request,
            answer,
            context: CallContext::current(),
            span: Span::current(),
        };
        self.queue
            .try_send(waiting)
            .map_err(|_| Status::resource_exhausted("too many token requests wait"))?;
        answered
            .await
            .unwrap_or_else(|_| Err(Status::unavailable("the request was given up")))
    }
}

async fn gather(
    client: TokenServiceClient<MeshChannel>,
    mut waiting: mpsc::Receiver<Waiting>,
    calls: usize,
    together: usize,
) {
    let places = Arc::new(Semaphore::new(calls));
    loop {
        // The place first: what comes while none is free goes together.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let mut group = Vec::with_capacity(together);
        if waiting.recv_many(&mut group, together).await == 0 {
            return;
        }
        // Whoever has gone needs no token.
        group.retain(|one| !one.answer.is_closed());
        if group.is_empty() {
            continue;
        }
        let client = client.clone();
        tokio::spawn(async move {
            call(client, group).await;
            drop(place);
        });
    }
}

async fn call(mut client: TokenServiceClient<MeshChannel>, group: Vec<Waiting>) {
    // The call lives in the first one's trace and has the deadline of the one
    // that can wait longest; each of them waits no longer than its own.
    let span = group[0].span.clone();
    let context = group
        .iter()
        .filter_map(|one| one.context.clone())
        .max_by_key(|context| context.deadline);
    let (requests, answers): (Vec<_>, Vec<_>) = group
        .into_iter()
        .map(|one| (one.request, one.answer))
        .unzip();
    let message = IssueTokensRequest { requests };
    let sent = async { client.issue_tokens(message).await }.instrument(span);
    let result = match context {
        Some(context) => context.scope(sent).await,
        None => sent.await,
    };
    match result {
        Ok(response) => {
            let results = response.into_inner().results;
            for (answer, result) in answers.into_iter().zip(results) {
                let _ = answer.send(match result.result {
                    Some(Outcome::Issued(issued)) => Ok(issued),
                    Some(Outcome::Refusal(refusal)) => Err(status(refusal)),
                    None => Err(Status::internal("a result says nothing")),
                });
            }
        }
        Err(status) => {
            for answer in answers {
                let _ = answer.send(Err(status.clone()));
            }
        }
    }
}

fn status(refusal: Refusal) -> Status {
    let code = Code::from(refusal.code);
    if refusal.reason.is_empty() {
        return Status::new(code, "refused");
    }
    let details =
        ErrorDetails::with_error_info(refusal.reason, mesh::error::DOMAIN, refusal.metadata);
    Status::with_error_details(code, "refused", details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_reason() {
        let refusal = Refusal {
            code: Code::ResourceExhausted.into(),
            reason: "RATE_LIMITED".into(),
            metadata: [("retry_after".to_owned(), "7".to_owned())].into(),
        };
        let status = status(refusal);
        assert_eq!(status.code(), Code::ResourceExhausted);
        let (reason, metadata) = mesh::error::reason(&status).expect("a reason");
        assert_eq!(
            (reason.as_str(), metadata["retry_after"].as_str()),
            ("RATE_LIMITED", "7")
        );
        let plain = super::status(Refusal::default());
        assert!(mesh::error::reason(&plain).is_none());
    }
}
