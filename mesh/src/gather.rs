//! Gathers what comes at about the same time into one piece of work: one call
//! between services, or one statement to the database, costs nearly the same
//! for many as for one. There is no timer: a group is what has queued up while
//! others were under way, so that one that comes alone waits for nobody.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{Instrument, Span};

use crate::{context::CallContext, trace::Together};

const QUEUE: usize = 4_096;

/// Bytes in a group of messages: far below what a server takes in one call, so
/// that nobody's large request makes the others' fail with it.
const GROUP_BYTES: usize = 1024 * 1024;

/// Why an item was not worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("too many wait already")]
    Full,
    #[error("the work was given up")]
    GivenUp,
}

/// Where an item's result goes.
pub struct Answer<R>(oneshot::Sender<R>);

impl<R> Answer<R> {
    pub fn give(self, result: R) {
        let _ = self.0.send(result);
    }

    /// Waits until nobody waits for it any more.
    pub async fn unwanted(&mut self) {
        self.0.closed().await;
    }
}

struct Waiting<T, R> {
    item: T,
    answer: Answer<R>,
    context: Option<CallContext>,
    span: Span,
}

/// What goes together at most.
struct Most<T> {
    items: usize,
    size: fn(&T) -> usize,
}

/// Takes items one by one and has them worked on in groups.
pub struct Gatherer<T, R> {
    queue: mpsc::Sender<Waiting<T, R>>,
}

impl<T, R> Clone for Gatherer<T, R> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Gatherer<T, R> {
    /// At most `groups` under way, each of at most `together` items. The work
    /// gives one result an item, in their order; what it gives none for is
    /// given up.
    pub fn start<W>(groups: usize, together: usize, work: W) -> Self
    where
        W: Fn(Vec<T>) -> BoxFuture<'static, Vec<R>> + Send + Sync + 'static,
    {
        let most: Most<T> = Most {
            items: together,
            size: |_| 0,
        };
        Self::start_within(groups, most, in_turn(work))
    }

    /// The same for messages, of whose bytes a group has a bounded number; one
    /// that is larger by itself goes alone.
    pub fn start_sized<W>(groups: usize, together: usize, size: fn(&T) -> usize, work: W) -> Self
    where
        W: Fn(Vec<T>) -> BoxFuture<'static, Vec<R>> + Send + Sync + 'static,
    {
        let most = Most {
            items: together,
            size,
        };
        Self::start_within(groups, most, in_turn(work))
    }

    /// The same for work that gives each item its result by itself: a group is
    /// no longer under way once the work has ended, even if it has handed on
    /// what is still to be answered.
    pub fn start_answering<W>(
        groups: usize,
        together: usize,
        size: fn(&T) -> usize,
        work: W,
    ) -> Self
    where
        W: Fn(Vec<(T, Answer<R>)>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    {
        let most = Most {
            items: together,
            size,
        };
        Self::start_within(groups, most, work)
    }

    fn start_within<W>(groups: usize, most: Most<T>, work: W) -> Self
    where
        W: Fn(Vec<(T, Answer<R>)>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(gather(waiting, groups, most, Arc::new(work)));
        Self { queue }
    }

    /// The item's own result.
    pub async fn submit(&self, item: T) -> Result<R, Rejected> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            item,
            answer: Answer(answer),
            context: CallContext::current(),
            span: Span::current(),
        };
        self.queue.try_send(waiting).map_err(|_| Rejected::Full)?;
        answered.await.map_err(|_| Rejected::GivenUp)
    }
}

/// Work that gives its results all at once, in the order of the items.
fn in_turn<T, R, W>(
    work: W,
) -> impl Fn(Vec<(T, Answer<R>)>) -> BoxFuture<'static, ()> + Send + Sync + 'static
where
    T: Send + 'static,
    R: Send + 'static,
    W: Fn(Vec<T>) -> BoxFuture<'static, Vec<R>> + Send + Sync + 'static,
{
    move |group: Vec<(T, Answer<R>)>| {
        let (items, answers): (Vec<T>, Vec<Answer<R>>) = group.into_iter().unzip();
        let results = work(items);
        async move {
            for (answer, result) in answers.into_iter().zip(results.await) {
                answer.give(result);
            }
        }
        .boxed()
    }
}

async fn gather<T, R, W>(
    mut waiting: mpsc::Receiver<Waiting<T, R>>,
    groups: usize,
    most: Most<T>,
    work: Arc<W>,
) where
    T: Send + 'static,
    R: Send + 'static,
    W: Fn(Vec<(T, Answer<R>)>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
{
    let places = Arc::new(Semaphore::new(groups));
    // What no longer fitted into the last group.
    let mut left_over = None;
    loop {
        // The place first: what comes while none is free goes together.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let first = match left_over.take() {
            Some(one) => one,
            None => match waiting.recv().await {
                Some(one) => one,
                None => return,
            },
        };
        let mut bytes = (most.size)(&first.item);
        let mut group = vec![first];
        while group.len() < most.items {
            let Ok(one) = waiting.try_recv() else { break };
            let size = (most.size)(&one.item);
            if bytes.saturating_add(size) > GROUP_BYTES {
                left_over = Some(one);
                break;
            }
            bytes += size;
            group.push(one);
        }
        // Whoever has gone waits for nothing.
        group.retain(|one| !one.answer.0.is_closed());
        if group.is_empty() {
            continue;
        }
        let work = work.clone();
        tokio::spawn(async move {
            run(&*work, group).await;
            drop(place);
        });
    }
}

async fn run<T, R, W>(work: &W, group: Vec<Waiting<T, R>>)
where
    W: Fn(Vec<(T, Answer<R>)>) -> BoxFuture<'static, ()>,
{
    // Each of them waits no longer than its own deadline: the work has that of
    // the one that can wait longest.
    let mut context = group
        .iter()
        .filter_map(|one| one.context.clone())
        .max_by_key(|context| context.deadline);
    let span = if let [one] = &group[..] {
        one.span.clone()
    } else {
        let together = Together::of(group.iter().map(|one| &one.span));
        if let Some(context) = &mut context {
            context.request_id = together.request_id;
        }
        together.span
    };
    let group = group.into_iter().map(|one| (one.item, one.answer));
    let work = work(group.collect()).instrument(span);
    match context {
        Some(context) => context.scope(work).await,
        None => work.await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn what_waits_goes_together_and_each_gets_its_own() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let (seen, go) = (sizes.clone(), Arc::new(Notify::new()));
        let wait = go.clone();
        let gatherer = Gatherer::start(1, 10, move |items: Vec<u32>| {
            let (seen, wait) = (seen.clone(), wait.clone());
            async move {
                let first = {
                    let mut seen = seen.lock().expect("a lock");
                    seen.push(items.len());
                    seen.len() == 1
                };
                if first {
                    wait.notified().await;
                }
                items.iter().map(|item| item * 2).collect()
            }
            .boxed()
        });
        let first = tokio::spawn({
            let gatherer = gatherer.clone();
            async move { gatherer.submit(1).await }
        });
        while sizes.lock().expect("a lock").is_empty() {
            tokio::task::yield_now().await;
        }
        let rest = join_all((2..=25).map(|i| gatherer.submit(i)));
        let release = async { go.notify_one() };
        let (rest, ()) = tokio::join!(rest, release);
        assert_eq!(first.await.expect("joined"), Ok(2));
        let wanted: Vec<_> = (2..=25).map(|i| Ok(i * 2)).collect();
        assert_eq!(rest, wanted);
        assert_eq!(*sizes.lock().expect("a lock"), [1, 10, 10, 4]);
    }

    #[tokio::test]
    async fn one_alone_keeps_its_id_and_several_have_none_of_theirs() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let contexts = seen.clone();
        let gatherer = Gatherer::start(1, 10, move |items: Vec<u32>| {
            let contexts = contexts.clone();
            async move {
                let context = CallContext::current().expect("a context");
                contexts.lock().expect("a lock").push(context);
                items
            }
            .boxed()
        });
        let submit = |id: &str, seconds: u64| {
            let budget = std::time::Duration::from_secs(seconds);
            let context = CallContext::new(budget, id.to_owned());
            let deadline = context.deadline;
            let gatherer = gatherer.clone();
            (
                deadline,
                context.scope(async move { gatherer.submit(1).await }),
            )
        };
        let (deadline, alone) = submit("alone", 10);
        alone.await.expect("worked on");
        let (_, first) = submit("first", 10);
        let (latest, second) = submit("second", 20);
        let (one, two) = tokio::join!(first, second);
        assert!(one.is_ok() && two.is_ok());
        let seen = seen.lock().expect("a lock");
        let of = |i: usize| (seen[i].request_id.as_str(), seen[i].deadline);
        assert_eq!(of(0), ("alone", deadline));
        let (id, until) = of(1);
        assert!(id != "first" && id != "second", "{id}");
        assert_eq!((until, seen.len()), (latest, 2));
    }

    #[tokio::test]
    async fn large_ones_do_not_fail_a_small_ones_group() {
        let most = 4 * 1024 * 1024;
        let served = Arc::new(Mutex::new(Vec::new()));
        let seen = served.clone();
        let size = |item: &Vec<u8>| item.len();
        let gatherer = Gatherer::start_sized(1, 64, size, move |items: Vec<Vec<u8>>| {
            let bytes: usize = items.iter().map(Vec::len).sum();
            seen.lock().expect("a lock").push(items.len());
            async move { items.iter().map(|_| bytes <= most).collect() }.boxed()
        });
        // Sixty-four of them together are more than a server takes.
        let large = (0..64).map(|_| gatherer.submit(vec![0; 100 * 1024]));
        let alone = gatherer.submit(vec![0; 2 * 1024 * 1024]);
        let (large, alone, small) = tokio::join!(join_all(large), alone, gatherer.submit(vec![0]));
        assert!(large.iter().all(|served| *served == Ok(true)));
        assert_eq!((alone, small), (Ok(true), Ok(true)));
        let served = served.lock().expect("a lock").clone();
        assert_eq!(served.iter().sum::<usize>(), 66, "each once: {served:?}");
        assert!(served.iter().all(|items| *items <= 11), "{served:?}");
        assert!(served.len() < 20, "they still go together: {served:?}");
    }

    #[tokio::test]
    async fn what_got_no_result_is_given_up() {
        let gatherer = Gatherer::start(1, 10, |_: Vec<u32>| async { Vec::<u32>::new() }.boxed());
        assert_eq!(gatherer.submit(1).await, Err(Rejected::GivenUp));
    }

    #[tokio::test]
    async fn a_group_whose_answers_are_to_come_holds_up_no_other() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = kept.clone();
        let work = move |group: Vec<(u32, Answer<u32>)>| {
            for (item, answer) in group {
                if item == 0 {
                    keep.lock().expect("a lock").push(answer);
                } else {
                    answer.give(item);
                }
            }
            async {}.boxed()
        };
        let gatherer = Gatherer::start_answering(1, 10, |_| 0, work);
        let slow = tokio::spawn({
            let gatherer = gatherer.clone();
            async move { gatherer.submit(0).await }
        });
        while kept.lock().expect("a lock").is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(gatherer.submit(1).await, Ok(1));
        assert!(!slow.is_finished());
        for answer in kept.lock().expect("a lock").drain(..) {
            answer.give(9);
        }
        assert_eq!(slow.await.expect("joined"), Ok(9));
    }
}
