use std::sync::{Arc, Mutex};

use futures::{channel::mpsc, future::join_all};

use super::*;
use crate::client::never_sent;

#[derive(Clone)]
struct Question {
    number: u32,
    member: Option<Member>,
}

type Told = Result<Vec<(u32, Result<u32, Status>)>, Status>;

struct Call {
    questions: Vec<Question>,
    results: mpsc::UnboundedSender<Told>,
}

/// A peer that takes every call, or none, and leaves the answers to the test.
#[derive(Clone, Default)]
struct Peer {
    refusal: Option<Status>,
    /// Calls leave, and it never says that it has taken them.
    is_stuck: bool,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Batch for Peer {
    type Request = Question;
    type Response = u32;

    fn budget(&self) -> Duration {
        CallContext::current().map_or(Duration::from_secs(60), |context| context.remaining())
    }

    fn size(_: &Question) -> usize {
        1
    }

    fn member(request: &mut Question) -> &mut Option<Member> {
        &mut request.member
    }

    fn together(
        &self,
        questions: Vec<Question>,
    ) -> BoxFuture<'static, Result<Results<u32>, Status>> {
        let peer = self.clone();
        async move {
            if let Some(status) = peer.refusal {
                return Err(status);
            }
            let (results, told) = mpsc::unbounded();
            let call = Call { questions, results };
            peer.calls.lock().expect("a lock").push(call);
            if peer.is_stuck {
                pending::<()>().await;
            }
            Ok(told.boxed())
        }
        .boxed()
    }

    fn alone(&self, question: Question) -> BoxFuture<'static, Result<u32, Status>> {
        assert!(question.member.is_none());
        async move { Ok(question.number + 100) }.boxed()
    }
}

impl Peer {
    fn refusing(status: Status) -> Self {
        Self {
            refusal: Some(status),
            ..Self::default()
        }
    }

    fn is_called(&self, times: usize) -> bool {
        self.calls.lock().expect("a lock").len() == times
    }

    fn tell(&self, call: usize, told: Told) {
        let calls = self.calls.lock().expect("a lock");
        calls[call].results.unbounded_send(told).expect("heard");
    }
}

async fn ask(batcher: Batcher<Peer>, number: u32) -> Result<u32, Status> {
    let member = None;
    batcher.ask(Question { number, member }).await
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn is_unknown(result: &Result<u32, Status>) -> bool {
    result.as_ref().is_err_and(|status| {
        status.code() == Code::Unavailable
            && !never_sent(status)
            && crate::error::reason(status).is_none()
    })
}

#[tokio::test]
async fn a_slow_one_delays_neither_its_own_call_nor_another() {
    let peer = Peer::default();
    let batcher = Batcher::start(peer.clone());
    let slow = tokio::spawn(ask(batcher.clone(), 0));
    let quick = tokio::spawn(ask(batcher.clone(), 1));
    until(|| peer.is_called(1)).await;
    peer.tell(0, Ok(vec![(1, Ok(11))]));
    assert_eq!(quick.await.expect("joined").ok(), Some(11));
    for call in 1..5 {
        let next = tokio::spawn(ask(batcher.clone(), 2));
        until(|| peer.is_called(call + 1)).await;
        peer.tell(call, Ok(vec![(0, Ok(12))]));
        assert_eq!(next.await.expect("joined").ok(), Some(12));
    }
    assert!(!slow.is_finished());
    peer.tell(0, Ok(vec![(0, Ok(10))]));
    assert_eq!(slow.await.expect("joined").ok(), Some(10));
}

#[tokio::test]
async fn of_what_has_no_result_when_a_stream_ends_nobody_knows() {
    for end in [Some(Status::internal("h2 protocol error")), None] {
        let peer = Peer::default();
        let batcher = Batcher::start(peer.clone());
        let asked = (0..3).map(|number| ask(batcher.clone(), number));
        let asked = tokio::spawn(join_all(asked));
        until(|| peer.is_called(1)).await;
        peer.tell(0, Ok(vec![(1, Ok(7)), (9, Ok(8))]));
        if let Some(status) = end {
            peer.tell(0, Err(status));
        }
        peer.calls.lock().expect("a lock").clear();
        let results = asked.await.expect("joined");
        assert_eq!(results[1].as_ref().ok(), Some(&7));
        assert!(is_unknown(&results[0]) && is_unknown(&results[2]));
    }
}

#[tokio::test]
async fn what_was_never_sent_is_told_so_to_each() {
    let peer = Peer::refusing(not_sent("the peer cannot be reached"));
    let batcher = Batcher::start(peer);
    let results = join_all((0..3).map(|number| ask(batcher.clone(), number))).await;
    for result in results {
        assert!(never_sent(&result.expect_err("not sent")));
    }
}

#[tokio::test]
async fn what_waited_for_its_turn_until_it_was_too_late_was_never_sent() {
    let peer = Peer {
        is_stuck: true,
        ..Peer::default()
    };
    let batcher = Batcher::start(peer.clone());
    let mut taken = Vec::new();
    for call in 0..CALLS {
        taken.push(tokio::spawn(ask(batcher.clone(), 0)));
        until(|| peer.is_called(call + 1)).await;
    }
    let context = CallContext::new(Duration::from_millis(50), "late".into());
    let late = context.scope(ask(batcher.clone(), 1)).await;
    let late = late.expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(never_sent(&late));
    assert!(peer.is_called(CALLS));
    for one in taken {
        one.abort();
    }
}

#[tokio::test]
async fn a_peer_that_knows_no_batches_is_asked_one_by_one() {
    for code in [Code::Unimplemented, Code::PermissionDenied] {
        let batcher = Batcher::start(Peer::refusing(Status::new(code, "no such call")));
        let results = join_all((0..3).map(|number| ask(batcher.clone(), number))).await;
        let results: Vec<_> = results.into_iter().filter_map(Result::ok).collect();
        assert_eq!(results, [100, 101, 102]);
    }
}

#[tokio::test]
async fn a_call_ends_when_all_who_wait_have_gone() {
    let peer = Peer::default();
    let batcher = Batcher::start(peer.clone());
    let is_over = |call: usize| peer.calls.lock().expect("a lock")[call].results.is_closed();
    let asked = (0..3).map(|number| tokio::spawn(ask(batcher.clone(), number)));
    let asked: Vec<_> = asked.collect();
    until(|| peer.is_called(1)).await;
    asked[0].abort();
    until(|| asked[0].is_finished()).await;
    assert!(!is_over(0), "two wait");
    peer.tell(0, Ok(vec![(2, Ok(5))]));
    asked[1].abort();
    until(|| is_over(0)).await;

    let answered = tokio::spawn(ask(batcher.clone(), 3));
    until(|| peer.is_called(2)).await;
    peer.tell(1, Ok(vec![(0, Ok(6))]));
    assert_eq!(answered.await.expect("joined").ok(), Some(6));
    assert!(!is_over(1), "a stream without waiters is read to its end");
}

#[tokio::test]
async fn each_waits_for_as_long_as_it_has() {
    let peer = Peer::default();
    let batcher = Batcher::start(peer.clone());
    let within = |ms, id: &str| {
        let context = CallContext::new(Duration::from_millis(ms), id.into());
        context.scope(ask(batcher.clone(), 0))
    };
    let patient = tokio::spawn(within(60_000, "patient"));
    until(|| peer.is_called(1)).await;
    let hurried = within(50, "hurried").await.expect_err("too late");
    assert_eq!(hurried.code(), Code::DeadlineExceeded);
    assert!(!never_sent(&hurried), "the peer has it");
    let left = within(0, "late").await.expect_err("too late");
    assert_eq!(left.code(), Code::DeadlineExceeded);
    let calls = peer.calls.lock().expect("a lock");
    let questions = calls.iter().flat_map(|call| &call.questions);
    let told: Vec<_> = questions
        .filter_map(|question| question.member.as_ref())
        .map(|member| member.request_id.as_str())
        .collect();
    assert_eq!(told, ["patient", "hurried"]);
    patient.abort();
}

#[test]
fn a_request_says_how_much_sooner_than_the_call_it_ends() {
    let (now, minute) = (Instant::now(), Duration::from_secs(60));
    let sooner_than = |end: Instant| {
        let asked = Asked {
            request: Question {
                number: 0,
                member: Some(Member::default()),
            },
            deadline: now + minute,
            context: None,
            span: Span::none(),
            turn: Turn::default(),
        };
        let member = message::<Peer>(&asked, end).member.expect("what it keeps");
        member.sooner_us
    };
    assert_eq!(sooner_than(now + minute), 0);
    assert_eq!(sooner_than(now + 2 * minute), 60_000_000);
    assert_eq!(sooner_than(now), 0);
}
