//! Searches of many templates, on threads of their own: all threads work on
//! what waits, whether that is one search or many, and searches that wait
//! together share each pass over memory.

use std::sync::{
    Arc, PoisonError,
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use rayon::{
    ThreadPool, ThreadPoolBuilder,
    iter::{IntoParallelRefIterator, ParallelIterator},
};
use tokio::{
    sync::{Semaphore, oneshot},
    task,
};
use uuid::Uuid;

use crate::{
    cell::SharedChunk,
    index::{Index, Scope},
    query::Query,
    ranking::Ranking,
    rotation::Rotation,
    vector::FaceVector,
};

/// Searches that share a pass.
const TOGETHER: usize = 32;

/// What is searched quicker than handed to another thread.
const SMALL: usize = 32_768;

/// More searches wait than the queue takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many searches wait already")]
pub struct Busy;

struct Job {
    index: Arc<Index>,
    query: Query,
    /// None for everywhere.
    galleries: Option<Vec<Uuid>>,
    answer: oneshot::Sender<Ranking>,
}

/// What decides a search: who is at or above the threshold, and whether a
/// rival is closer to the best than the margin.
#[derive(Clone, Copy, Debug)]
pub struct Decider {
    pub threshold: f32,
    pub margin: f32,
}

/// Runs searches; what waits past the queue's length is refused at once.
#[derive(Clone)]
pub struct Searcher {
    queue: SyncSender<Job>,
    /// One for each small search that waits or runs.
    small: Arc<Semaphore>,
}

impl Searcher {
    /// With as many threads, and a queue of that length; as many small searches
    /// may wait beside it.
    pub fn start(threads: usize, queue: usize) -> std::io::Result<Self> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("search-{number}"))
            .build()
            .map_err(std::io::Error::other)?;
        let (sender, waiting) = sync_channel(queue);
        std::thread::Builder::new()
            .name("search-queue".into())
            .spawn(move || serve(&pool, &waiting))?;
        let small = Semaphore::new(queue.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self {
            queue: sender,
            small: Arc::new(small),
        })
    }

    /// The best two subjects, as far as they decide.
    pub async fn rank(
        &self,
        index: &Arc<Index>,
        rotation: &Rotation,
        probe: &FaceVector,
        decider: Decider,
        galleries: Option<Vec<Uuid>>,
    ) -> Result<Ranking, Busy> {
        let query = rotation.query(probe, decider.threshold);
        let found = self.search(index, query, galleries.clone()).await?;
        // A rival below the threshold counts only beside a match that is close
        // to it: few searches need the lower floor, which many strangers reach.
        match found.best.map(|best| best.similarity - decider.margin) {
            Some(floor) if floor < decider.threshold => {
                self.search(index, rotation.query(probe, floor), galleries)
                    .await
            }
            _ => Ok(found),
        }
    }

    pub async fn search(
        &self,
        index: &Arc<Index>,
        query: Query,
        galleries: Option<Vec<Uuid>>,
    ) -> Result<Ranking, Busy> {
        let scope = scope(galleries.as_ref());
        if index.count(scope) <= SMALL {
            let _waits = self.small.try_acquire().map_err(|_| Busy)?;
            // Searches that came meanwhile are let in or refused before this one
            // takes the thread: what waits is counted.
            task::yield_now().await;
            return Ok(index.search(&query, scope));
        }
        let (answer, answered) = oneshot::channel();
        let job = Job {
            index: index.clone(),
            query,
            galleries,
            answer,
        };
        match self.queue.try_send(job) {
            Ok(()) => answered.await.map_err(|_| Busy),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Busy),
        }
    }
}

fn scope(galleries: Option<&Vec<Uuid>>) -> Scope<'_> {
    galleries.map_or(Scope::Everywhere, |galleries| Scope::Galleries(galleries))
}

fn serve(pool: &ThreadPool, waiting: &Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let mut jobs = vec![first];
        jobs.extend(waiting.try_iter().take(TOGETHER - 1));
        // Whoever has gone waits for nothing.
        jobs.retain(|job| !job.answer.is_closed());
        let rankings = pool.install(|| pass(&jobs));
        for (job, mut ranking) in jobs.into_iter().zip(rankings) {
            ranking.searched = job.index.count(scope(job.galleries.as_ref()));
            let _ = job.answer.send(ranking);
        }
    }
}

/// One pass over every chunk that one of the searches reads.
fn pass(jobs: &[Job]) -> Vec<Ranking> {
    let mut chunks: Vec<(SharedChunk, Vec<usize>)> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (number, job) in jobs.iter().enumerate() {
        for chunk in job.index.chunks(scope(job.galleries.as_ref())) {
            let next = chunks.len();
            let place = *known.entry(Arc::as_ptr(&chunk)).or_insert(next);
            match chunks.get_mut(place) {
                Some((_, readers)) => readers.push(number),
                None => chunks.push((chunk, vec![number])),
            }
        }
    }
    let nothing = || vec![Ranking::default(); jobs.len()];
    chunks
        .par_iter()
        .fold(nothing, |mut found, (chunk, readers)| {
            let chunk = chunk.read().unwrap_or_else(PoisonError::into_inner);
            for number in readers {
                let job = &jobs[*number];
                chunk.search(job.index.kernel(), &job.query, &mut found[*number]);
            }
            found
        })
        .reduce(nothing, |left, right| {
            left.into_iter()
                .zip(right)
                .map(|(left, right)| left.merge(right))
                .collect()
        })
}
