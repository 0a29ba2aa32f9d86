//! One writer that groups what waits into one commit: a commit costs what the
//! disk's flush costs, whatever is in it. Each caller's work stands or falls
//! alone, in a savepoint of its own.

use std::sync::Arc;

use futures::future::BoxFuture;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait};
use tokio::sync::{mpsc, oneshot};

use crate::shutdown::Shutdown;

/// Works grouped into one commit at most.
const GROUP: usize = 128;
const QUEUE: usize = 1_024;

#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the database failed: {0}")]
    Database(Arc<DbErr>),
    #[error("the database's writer has stopped")]
    Stopped,
}

impl From<DbErr> for WriteError {
    fn from(error: DbErr) -> Self {
        Self::Database(Arc::new(error))
    }
}

#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

trait Job: Send {
    fn run<'a>(&'a mut self, transaction: &'a DatabaseTransaction) -> BoxFuture<'a, bool>;
    fn finish(self: Box<Self>, committed: Result<(), WriteError>);
}

struct Work<T, E, F> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Work<T, E, F>
where
    T: Send + 'static,
    E: From<WriteError> + Send + 'static,
    F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
{
    fn run<'a>(&'a mut self, transaction: &'a DatabaseTransaction) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            // A caller that has gone wants nothing written.
            if self.reply.is_closed() {
                return true;
            }
            let Some(work) = self.work.take() else {
                return true;
            };
            let result = work(transaction).await;
            let good = result.is_ok();
            self.result = Some(result);
            good
        })
    }

    fn finish(self: Box<Self>, committed: Result<(), WriteError>) {
        let result = match (self.result, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.into()),
            (None, Ok(())) => return,
        };
        let _ = self.reply.send(result);
    }
}

impl Writer {
    pub(super) fn start(connection: DatabaseConnection, shutdown: Shutdown) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(write_groups(connection, jobs, shutdown));
        Self { queue }
    }

    /// Runs the work in a transaction that others may share and answers once
    /// it is durable. An error of the work undoes that work alone.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteError> + Send + 'static,
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Work {
            work: Some(work),
            result: None,
            reply,
        };
        self.queue
            .send(Box::new(job))
            .await
            .map_err(|_| WriteError::Stopped)?;
        answer
            .await
            .unwrap_or_else(|_| Err(WriteError::Stopped.into()))
    }
}

async fn write_groups(
    connection: DatabaseConnection,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    shutdown: Shutdown,
) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        // What is queued when the shutdown comes is still written.
        let count = tokio::select! {
            biased;
            count = jobs.recv_many(&mut group, GROUP) => count,
            () = shutdown.cancelled(), if jobs.is_closed() => 0,
        };
        if count == 0 {
            return;
        }
        let committed = write_group(&connection, &mut group).await;
        for job in group.drain(..) {
            job.finish(committed.clone());
        }
    }
}

async fn write_group(
    connection: &DatabaseConnection,
    group: &mut [Box<dyn Job>],
) -> Result<(), WriteError> {
    let transaction = connection.begin().await?;
    if let [job] = group {
        return if job.run(&transaction).await {
            Ok(transaction.commit().await?)
        } else {
            Ok(transaction.rollback().await?)
        };
    }
    for job in group {
        let savepoint = transaction.begin().await?;
        if job.run(&savepoint).await {
            savepoint.commit().await?;
        } else {
            savepoint.rollback().await?;
        }
    }
    Ok(transaction.commit().await?)
}
