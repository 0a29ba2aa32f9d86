//! Gathers what comes at about the same time into one piece of work: one call
//! between services, or one statement to the database, costs nearly the same
//! for many as for one. There is no timer: a group is what has queued up while
//! others were under way, so that one that comes alone waits for nobody.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{Instrument, Span};

use crate::context::CallContext;

const QUEUE: usize = 4_096;

/// Why an item was not worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("too many wait already")]
    Full,
    #[error("the work was given up")]
    GivenUp,
}

struct Waiting<T, R> {
    item: T,
    answer: oneshot::Sender<R>,
    context: Option<CallContext>,
    span: Span,
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
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(gather(waiting, groups, together, Arc::new(work)));
        Self { queue }
    }

    /// The item's own result.
    pub async fn submit(&self, item: T) -> Result<R, Rejected> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            item,
            answer,
            context: CallContext::current(),
            span: Span::current(),
        };
        self.queue.try_send(waiting).map_err(|_| Rejected::Full)?;
        answered.await.map_err(|_| Rejected::GivenUp)
    }
}

async fn gather<T, R, W>(
    mut waiting: mpsc::Receiver<Waiting<T, R>>,
    groups: usize,
    together: usize,
    work: Arc<W>,
) where
    T: Send + 'static,
    R: Send + 'static,
    W: Fn(Vec<T>) -> BoxFuture<'static, Vec<R>> + Send + Sync + 'static,
{
    let places = Arc::new(Semaphore::new(groups));
    loop {
        // The place first: what comes while none is free goes together.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let mut group = Vec::with_capacity(together);
        if waiting.recv_many(&mut group, together).await == 0 {
            return;
        }
        // Whoever has gone waits for nothing.
        group.retain(|one| !one.answer.is_closed());
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
    W: Fn(Vec<T>) -> BoxFuture<'static, Vec<R>>,
{
    // The work lives in the first one's trace and has the deadline of the one
    // that can wait longest; each of them waits no longer than its own.
    let span = group[0].span.clone();
    let context = group
        .iter()
        .filter_map(|one| one.context.clone())
        .max_by_key(|context| context.deadline);
    let (items, answers): (Vec<T>, Vec<_>) =
        group.into_iter().map(|one| (one.item, one.answer)).unzip();
    let work = work(items).instrument(span);
    let results = match context {
        Some(context) => context.scope(work).await,
        None => work.await,
    };
    for (answer, result) in answers.into_iter().zip(results) {
        let _ = answer.send(result);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::{FutureExt, future::join_all};
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
    async fn what_got_no_result_is_given_up() {
        let gatherer = Gatherer::start(1, 10, |_: Vec<u32>| async { Vec::<u32>::new() }.boxed());
        assert_eq!(gatherer.submit(1).await, Err(Rejected::GivenUp));
    }
}
