use std::time::Duration;

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use mesh::{context::CallContext, shutdown::Shutdown};
use propdev_proto::access::{
    PaymentFault, PaymentOutcome, PaymentState as StateMessage, PushPaymentRequest,
    PushPaymentResponse, StreamPaymentsRequest, StreamPaymentsResponse,
    payment_service_server::PaymentService,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Api,
    convert::{by, fault, kind, optional_time, time},
};
use crate::{
    app::{App, PaymentState},
    domain::{decision::Subscription, payment::Outcome},
    error::Error,
};

/// A stream without a state for so long is ended.
const IDLE: Duration = Duration::from_secs(60);
/// So long a stream lasts at most, so that its caller's right is looked at again.
const LONGEST: Duration = Duration::from_secs(600);
/// States that have come are taken together, up to so many.
const MOST_AT_ONCE: usize = 128;

#[tonic::async_trait]
impl PaymentService for Api {
    async fn push_payment(
        &self,
        request: Request<PushPaymentRequest>,
    ) -> Result<Response<PushPaymentResponse>, Status> {
        let state = state(request.into_inner().state)?;
        let outcome = outcome(self.app.push_payment(state).await?);
        Ok(Response::new(PushPaymentResponse {
            outcome: outcome.into(),
        }))
    }

    type StreamPaymentsStream = BoxStream<'static, Result<StreamPaymentsResponse, Status>>;

    async fn stream_payments(
        &self,
        request: Request<Streaming<StreamPaymentsRequest>>,
    ) -> Result<Response<Self::StreamPaymentsStream>, Status> {
        let paying = Paying {
            app: self.app.clone(),
            call: CallContext::current(),
            until: Instant::now() + LONGEST,
            told: request.into_inner().ready_chunks(MOST_AT_ONCE).boxed(),
        };
        let answers = stream::unfold(Some(paying), |paying| async move { paying?.step().await });
        Ok(Response::new(answers.flat_map(stream::iter).boxed()))
    }
}

type Answers = Vec<Result<StreamPaymentsResponse, Status>>;

/// A stream of states under way. Nothing is read before what came earlier is answered, so that
/// whoever does not listen is not listened to.
struct Paying {
    app: App,
    /// Who asked, for what is written down.
    call: Option<CallContext>,
    until: Instant,
    told: BoxStream<'static, Vec<Result<StreamPaymentsRequest, Status>>>,
}

impl Paying {
    /// Answers what has come; without a successor it is the last.
    async fn step(mut self) -> Option<(Answers, Option<Self>)> {
        let told = next(&mut self.told, self.until, &self.app.ending()).await;
        let told = match told {
            Ok(told) => told?,
            Err(status) => return Some((vec![Err(status)], None)),
        };
        let (mut sequences, mut states, mut broken) = (Vec::new(), Vec::new(), None);
        for one in told {
            match one {
                Ok(one) => {
                    sequences.push(one.sequence);
                    states.push(state(one.state));
                }
                Err(status) => {
                    broken = Some(status);
                    break;
                }
            }
        }
        let work = self.app.push_payments(states);
        let results = match self.call.clone() {
            Some(call) => call.scope(work).await,
            None => work.await,
        };
        let results = match results {
            Ok(results) => results,
            Err(error) => return Some((vec![Err(error.into())], None)),
        };
        let mut answers: Answers = sequences
            .into_iter()
            .zip(results)
            .map(|(sequence, result)| Ok(answer(sequence, result)))
            .collect();
        match broken {
            None => Some((answers, Some(self))),
            Some(status) => {
                answers.push(Err(status));
                Some((answers, None))
            }
        }
    }
}

/// What has come next; none at the end of what comes.
async fn next<T>(
    told: &mut BoxStream<'static, T>,
    until: Instant,
    ending: &Shutdown,
) -> Result<Option<T>, Status> {
    if until <= Instant::now() {
        return Err(Status::unavailable(
            "a stream lasts ten minutes: begin another",
        ));
    }
    tokio::select! {
        // What comes without a pause ends too.
        biased;
        () = ending.cancelled() => Err(Status::unavailable("the service ends")),
        told = tokio::time::timeout(IDLE, told.next()) => {
            told.map_err(|_| Status::deadline_exceeded("no state has come for a minute"))
        }
    }
}

fn answer(sequence: u64, result: Result<Outcome, Error>) -> StreamPaymentsResponse {
    let (outcome, fault) = match result {
        Ok(done) => (outcome(done), None),
        Err(error) => {
            let status = Status::from(error);
            let reason = mesh::error::reason(&status).map(|(reason, _)| reason);
            let fault = PaymentFault {
                reason: reason.unwrap_or_default(),
                detail: status.message().to_owned(),
            };
            (PaymentOutcome::Refused, Some(fault))
        }
    };
    StreamPaymentsResponse {
        sequence,
        outcome: outcome.into(),
        fault,
    }
}

fn outcome(done: Outcome) -> PaymentOutcome {
    match done {
        Outcome::Applied | Outcome::Repeated => PaymentOutcome::Applied,
        Outcome::Outdated => PaymentOutcome::Outdated,
    }
}

fn state(message: Option<StateMessage>) -> Result<PaymentState, Error> {
    let message = message.ok_or_else(|| fault("state", "is required"))?;
    let kind = kind(message.kind())?;
    let site = match (message.site_id.as_str(), message.site_external_id) {
        ("", None) => None,
        (id, external_id) => Some(by("site_id", id, external_id)?),
    };
    let household = by(
        "household_id",
        &message.household_id,
        message.household_external_id,
    )?;
    Ok(PaymentState {
        household,
        site,
        kind,
        paid: Subscription {
            paid_until: time("paid_until", message.paid_until)?,
            grace_days: message.grace_days,
            suspended: message.suspended,
        },
        as_of: optional_time("as_of", message.as_of)?,
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_never_pauses_ends_all_the_same() {
        let mut told = stream::repeat(7).boxed();
        let (now, ending) = (Instant::now(), Shutdown::new());
        let while_it_lasts = next(&mut told, now + LONGEST, &ending).await;
        assert_eq!(while_it_lasts.expect("told"), Some(7));
        let too_late = next(&mut told, now, &ending).await;
        assert_eq!(too_late.expect_err("ended").code(), Code::Unavailable);
        ending.cancel();
        let shut_down = next(&mut told, now + LONGEST, &ending).await;
        assert_eq!(shut_down.expect_err("ended").code(), Code::Unavailable);
    }
}
