//! Requests that come at about the same time go to a peer in one call, which
//! answers each as soon as it can: a call between services costs about as much
//! as what it asks for, and a slow request delays no other.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use propdev_proto::mesh::Member;
use tonic::{Code, Status};
use tracing::{Instrument, Span};

use super::{channel::as_not_sent, not_sent};
use crate::{
    context::CallContext,
    gather::{Answer, Gatherer, Rejected},
    trace::traceparent,
};

/// Calls that the peer has not taken yet: what comes meanwhile goes together.
const CALLS: usize = 2;
const TOGETHER: usize = 64;

/// Results as they come, each with the position of its request.
pub type Results<R> = BoxStream<'static, Result<Vec<(u32, Result<R, Status>)>, Status>>;

/// An RPC of many requests, and the one of a single one that it stands for.
pub trait Batch: Clone + Send + Sync + 'static {
    type Request: Clone + Send + 'static;
    type Response: Send + 'static;

    /// How long a request may take that is made now.
    fn budget(&self) -> Duration;

    /// Of the message, bytes.
    fn size(request: &Self::Request) -> usize;

    /// Where a request says what it keeps of its own.
    fn member(request: &mut Self::Request) -> &mut Option<Member>;

    /// All in one call.
    fn together(
        &self,
        requests: Vec<Self::Request>,
    ) -> BoxFuture<'static, Result<Results<Self::Response>, Status>>;

    /// One in a call of its own.
    fn alone(&self, request: Self::Request) -> BoxFuture<'static, Result<Self::Response, Status>>;
}

struct Asked<Q> {
    request: Q,
    deadline: Instant,
    context: Option<CallContext>,
    span: Span,
    turn: Turn,
}

/// Whoever takes it decides whether a request leaves or has waited too long:
/// one whose time passed in the queue surely never left.
#[derive(Clone, Default)]
struct Turn(Arc<AtomicBool>);

impl Turn {
    /// Whether nobody has taken it before.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

type Told<R> = Answer<Result<R, Status>>;

/// Requests that go together, each with where its answer goes.
type Group<B> = Vec<(Asked<<B as Batch>::Request>, Told<<B as Batch>::Response>)>;

/// Takes requests one by one and sends them in groups.
#[derive(Clone)]
pub struct Batcher<B: Batch> {
    batch: B,
    gatherer: Gatherer<Asked<B::Request>, Result<B::Response, Status>>,
}

impl<B: Batch> Batcher<B> {
    pub fn start(batch: B) -> Self {
        let of_group = batch.clone();
        let size = |asked: &Asked<B::Request>| B::size(&asked.request);
        let gatherer = Gatherer::start_answering(CALLS, TOGETHER, size, move |group| {
            send(of_group.clone(), group).boxed()
        });
        Self { batch, gatherer }
    }

    /// The request's own answer, or what a call of its own would have told.
    pub async fn ask(&self, mut request: B::Request) -> Result<B::Response, Status> {
        let budget = self.batch.budget();
        if budget.is_zero() {
            let late = Status::deadline_exceeded("no time is left for the call");
            return Err(as_not_sent(late));
        }
        let context = CallContext::current();
        let request_id = context.as_ref().map(|context| context.request_id.clone());
        *B::member(&mut request) = Some(Member {
            request_id: request_id.unwrap_or_default(),
            traceparent: traceparent(),
            sooner_us: 0,
        });
        let turn = Turn::default();
        let asked = Asked {
            request,
            deadline: Instant::now() + budget,
            context,
            span: Span::current(),
            turn: turn.clone(),
        };
        match tokio::time::timeout(budget, self.gatherer.submit(asked)).await {
            Ok(Ok(result)) => result,
            Ok(Err(Rejected::Full)) => Err(not_sent("too many requests wait")),
            Ok(Err(Rejected::GivenUp)) => Err(broken_off()),
            Err(_) => {
                let late = Status::deadline_exceeded("no answer came in time");
                Err(if turn.take() { as_not_sent(late) } else { late })
            }
        }
    }
}

/// Ends when the peer has taken the requests.
async fn send<B: Batch>(batch: B, mut group: Group<B>) {
    group.retain(|(asked, _)| asked.turn.take());
    if group.is_empty() {
        return;
    }
    let end = Instant::now() + batch.budget();
    let requests = group.iter().map(|(asked, _)| message::<B>(asked, end));
    let requests = requests.collect();
    match batch.together(requests).await {
        Ok(results) => {
            let answers = group.into_iter().map(|(_, answer)| Some(answer)).collect();
            tokio::spawn(hand_out(results, answers).in_current_span());
        }
        Err(status) if is_unheard_of(&status) => {
            for (asked, answer) in group {
                tokio::spawn(send_alone(batch.clone(), asked, answer));
            }
        }
        Err(status) => {
            for (_, answer) in group {
                answer.give(Err(status.clone()));
            }
        }
    }
}

/// For a call that ends then.
fn message<B: Batch>(asked: &Asked<B::Request>, end: Instant) -> B::Request {
    let mut request = asked.request.clone();
    let sooner = end.saturating_duration_since(asked.deadline);
    if let Some(member) = B::member(&mut request) {
        member.sooner_us = u64::try_from(sooner.as_micros()).unwrap_or(u64::MAX);
    }
    request
}

/// Gives each its result as it comes. The call ends when all have gone.
async fn hand_out<R>(mut results: Results<R>, mut answers: Vec<Option<Told<R>>>) {
    loop {
        let told = tokio::select! {
            told = results.next() => told,
            () = all_have_gone(&mut answers) => return,
        };
        let told = match told {
            Some(Ok(told)) => told,
            Some(Err(status)) => {
                tracing::debug!(code = ?status.code(), "the answers broke off");
                break;
            }
            None => break,
        };
        for (index, result) in told {
            let answer = usize::try_from(index).ok().and_then(|i| answers.get_mut(i));
            if let Some(answer) = answer.and_then(Option::take) {
                answer.give(result);
            }
        }
    }
    for answer in answers.into_iter().flatten() {
        answer.give(Err(broken_off()));
    }
}

/// Never where each has its answer: the peer's stream is then read to its end.
async fn all_have_gone<R>(answers: &mut [Option<Told<R>>]) {
    let mut awaited = false;
    for answer in answers.iter_mut().flatten() {
        answer.unwanted().await;
        awaited = true;
    }
    if !awaited {
        pending::<()>().await;
    }
}

async fn send_alone<B: Batch>(batch: B, asked: Asked<B::Request>, mut answer: Told<B::Response>) {
    let Asked {
        mut request,
        context,
        span,
        ..
    } = asked;
    *B::member(&mut request) = None;
    let work = batch.alone(request).instrument(span);
    let work = async move {
        match context {
            Some(context) => context.scope(work).await,
            None => work.await,
        }
    };
    tokio::select! {
        result = work => answer.give(result),
        () = answer.unwanted() => {}
    }
}

/// A peer of an older release knows no such RPC, and refuses what no contract
/// of its own names.
fn is_unheard_of(status: &Status) -> bool {
    matches!(status.code(), Code::Unimplemented | Code::PermissionDenied)
}

/// As a connection that breaks: the request was sent, and nobody knows.
fn broken_off() -> Status {
    Status::unavailable("no answer came")
}

#[cfg(test)]
mod tests;
