//! Several requests that came in one call, each the work of a task of its own
//! and answered as soon as that has ended: a slow one delays no other.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures::{
    FutureExt, StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use propdev_proto::mesh::Member;
use tokio::task::JoinSet;
use tonic::{Code, Extensions, Status};
use tracing::Instrument;

use super::{places::Place, timing::Timing};
use crate::{context::CallContext, trace::as_its_own};

/// Results in one message.
const TOGETHER: usize = 64;

/// Begins the work of all requests of the call whose extensions these are, and
/// streams each one's result with its position. Each counts as a call among
/// those served at once. Work that is still under way when the stream is
/// dropped ends there, as that of a call does whose caller goes away.
pub fn answer_each<R, F>(
    extensions: &Extensions,
    requests: impl IntoIterator<Item = (Option<Member>, F)>,
) -> BoxStream<'static, Vec<(u32, Result<R, Status>)>>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Status>> + Send + 'static,
{
    let (call, place) = (CallContext::current(), extensions.get::<Place>());
    let timing = extensions.get::<Timing>();
    if let Some(timing) = timing {
        timing.is_by_request();
    }
    let mut tasks = JoinSet::new();
    for (index, (member, work)) in (0_u32..).zip(requests) {
        let place = place.map(Place::of_request).transpose();
        let work = as_member(call.clone(), member.unwrap_or_default(), work);
        let timing = timing.cloned();
        let task = async move {
            let started = Instant::now();
            let result = match place {
                Ok(_place) => work.await,
                Err(status) => Err(status),
            };
            if let Some(timing) = timing {
                let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
                timing.record(code, started.elapsed());
            }
            (index, result)
        };
        tasks.spawn(task.in_current_span());
    }
    let ended = stream::unfold(tasks, |mut tasks| async move {
        let ended = tasks.join_next().await?;
        Some((ended, tasks))
    });
    ended
        .filter_map(|ended| ready(ended.ok()))
        .ready_chunks(TOGETHER)
        .boxed()
}

/// In the request's own trace and under its own id, for as long as it has, and
/// with a net under a panic.
async fn as_member<R, F>(call: Option<CallContext>, member: Member, work: F) -> Result<R, Status>
where
    F: Future<Output = Result<R, Status>>,
{
    let Some(call) = call else {
        return work.await;
    };
    let sooner = Duration::from_micros(member.sooner_us);
    let budget = call.remaining().saturating_sub(sooner);
    if budget.is_zero() {
        return Err(too_late());
    }
    let context = CallContext {
        deadline: Instant::now() + budget,
        ..call
    };
    // Told in the request's own span: the call's names none of its requests.
    let netted = async move {
        let ended = AssertUnwindSafe(work).catch_unwind().await;
        ended.unwrap_or_else(|_| {
            tracing::error!("the handler panicked");
            Err(Status::internal("internal error"))
        })
    };
    let netted = context.scope(as_its_own(&member.request_id, &member.traceparent, netted));
    tokio::time::timeout(budget, netted)
        .await
        .unwrap_or_else(|_| Err(too_late()))
}

fn too_late() -> Status {
    Status::deadline_exceeded("the deadline has passed")
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use futures::{future::BoxFuture, stream::iter};
    use tokio::sync::Notify;

    use super::*;
    use crate::server::places::Places;

    type Work = BoxFuture<'static, Result<u32, Status>>;

    const MINUTE: Duration = Duration::from_secs(60);

    fn member(request_id: &str, sooner: Duration) -> Option<Member> {
        Some(Member {
            request_id: request_id.into(),
            sooner_us: u64::try_from(sooner.as_micros()).expect("a number"),
            ..Member::default()
        })
    }

    async fn answers(
        extensions: &Extensions,
        requests: Vec<(Option<Member>, Work)>,
    ) -> BoxStream<'static, (u32, Result<u32, Status>)> {
        let call = CallContext::new(MINUTE, "the-call".into());
        let answers = call
            .scope(async { answer_each(extensions, requests) })
            .await;
        answers.flat_map(iter).boxed()
    }

    #[tokio::test]
    async fn each_is_answered_when_it_is_done() {
        let go = Arc::new(Notify::new());
        let wait = go.clone();
        let slow = async move {
            wait.notified().await;
            Ok(0)
        };
        let panicking: Work = async { panic!("as told") }.boxed();
        let requests: Vec<(Option<Member>, Work)> = vec![
            (None, slow.boxed()),
            (None, panicking),
            (None, async { Ok(2) }.boxed()),
            (member("late", MINUTE), async { panic!("begun") }.boxed()),
        ];
        let mut answers = answers(&Extensions::new(), requests).await;
        let mut first = Vec::new();
        for _ in 0..3 {
            let (index, result) = answers.next().await.expect("a result");
            first.push((index, result.map_err(|status| status.code())));
        }
        first.sort_by_key(|(index, _)| *index);
        let wanted = [
            (1, Err(Code::Internal)),
            (2, Ok(2)),
            (3, Err(Code::DeadlineExceeded)),
        ];
        assert_eq!(first, wanted);
        go.notify_one();
        let last = answers
            .next()
            .await
            .map(|(index, result)| (index, result.ok()));
        assert_eq!(last, Some((0, Some(0))));
        assert!(answers.next().await.is_none());
    }

    #[tokio::test]
    async fn each_has_its_own_id_and_its_own_time() {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let work = || -> Work {
            let seen = seen.clone();
            async move {
                let context = CallContext::current().expect("a context");
                let is_short = context.remaining() <= MINUTE / 2;
                seen.lock()
                    .expect("a lock")
                    .push((context.request_id, is_short));
                Ok(0)
            }
            .boxed()
        };
        let requests = vec![
            (member("one", MINUTE / 2), work()),
            (member("two", Duration::ZERO), work()),
            (member("", Duration::ZERO), work()),
        ];
        let answers = answers(&Extensions::new(), requests).await;
        assert_eq!(answers.count().await, 3);
        let mut seen = seen.lock().expect("a lock").clone();
        seen.sort();
        let wanted = [("one", true), ("the-call", false), ("two", false)];
        assert_eq!(seen, wanted.map(|(id, is_short)| (id.to_owned(), is_short)));
    }

    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_panic_is_told_under_the_id_of_its_request() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _until_the_end = tracing::subscriber::set_default(subscriber);
        let panicking: Work = async { panic!("as told") }.boxed();
        let requests = vec![(member("the-culprit", Duration::ZERO), panicking)];
        let answers = answers(&Extensions::new(), requests).await;
        assert_eq!(answers.count().await, 1);
        let log = String::from_utf8(log.0.lock().expect("a lock").clone()).expect("text");
        let told = log.lines().find(|line| line.contains("panicked"));
        assert!(
            told.is_some_and(|line| line.contains("the-culprit")),
            "{log}"
        );
    }

    #[tokio::test]
    async fn each_takes_a_place_for_as_long_as_it_lasts() {
        let mut extensions = Extensions::new();
        extensions.insert(Places::new(2).take().expect("a place"));
        let requests = (0..3).map(|_| (None, pending().boxed())).collect();
        let mut three = answers(&extensions, requests).await;
        let (index, result) = three.next().await.expect("a result");
        let code = result.map_err(|status| status.code());
        assert_eq!((index, code), (2, Err(Code::ResourceExhausted)));

        // Who asked has gone, and with that the work.
        drop(three);
        let done = async || {
            let requests = vec![(None, async { Ok(1) }.boxed())];
            let mut answers = answers(&extensions, requests).await;
            let answer = answers.next().await;
            answer.is_some_and(|(_, result)| result.is_ok())
        };
        while !done().await {
            tokio::task::yield_now().await;
        }
    }
}
