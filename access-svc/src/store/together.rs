//! Work that is done for many at once, and whose failure is nobody else's.

use std::sync::Arc;

use futures::{FutureExt, future::join_all};
use mesh::{db::Db, gather::Gatherer};

use crate::error::Error;

/// What comes while one group is read makes the next.
const GROUPS: usize = 1;
const TOGETHER: usize = 64;

/// Takes what is to be read one by one, and reads it in groups.
pub(crate) type Reads<T, R> = Gatherer<T, Result<R, Error>>;

pub(crate) fn read_together<T, R, F>(db: Db, read: fn(Db, Vec<Arc<T>>) -> F) -> Reads<T, R>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Future<Output = Result<Vec<R>, Error>> + Send + 'static,
{
    Gatherer::start(GROUPS, TOGETHER, move |group: Vec<T>| {
        let db = db.clone();
        let all = move |group: Vec<Arc<T>>| read(db.clone(), group);
        each_for_itself(group, all).boxed()
    })
}

/// Values of a condition, the last of them repeated up to a power of two: a
/// connection keeps few texts of statements, and would have one for every number.
pub(crate) fn padded<T: Clone>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    if let Some(last) = values.last().cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    values
}

/// The work for all, in one go; where that fails, for each by itself.
pub(crate) async fn each_for_itself<T, R, W, F>(items: Vec<T>, work: W) -> Vec<Result<R, Error>>
where
    W: Fn(Vec<Arc<T>>) -> F,
    F: Future<Output = Result<Vec<R>, Error>>,
{
    let items: Vec<Arc<T>> = items.into_iter().map(Arc::new).collect();
    match work(items.clone()).await {
        Ok(results) => results.into_iter().map(Ok).collect(),
        // Nobody's own, and it may have been stored: it is not tried again.
        Err(Error::Write(error)) => items
            .iter()
            .map(|_| Err(Error::Write(error.clone())))
            .collect(),
        Err(error) if items.len() < 2 => vec![Err(error)],
        Err(error) => {
            tracing::warn!(%error, items = items.len(), "done one by one");
            let work = &work;
            let alone = items.into_iter().map(|item| async move {
                let mut results = work(vec![item]).await?;
                results.pop().ok_or(Error::GivenUp)
            });
            join_all(alone).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use mesh::db::WriteError;

    use super::*;

    #[test]
    fn numbers_of_values_are_few_and_the_values_the_same() {
        assert_eq!(padded([1, 2, 3, 4, 5]), [1, 2, 3, 4, 5, 5, 5, 5]);
        assert_eq!(padded([1, 2]), [1, 2]);
        assert_eq!(padded([1]), [1]);
        assert!(padded::<i32>([]).is_empty());
    }

    #[tokio::test]
    async fn what_fails_for_one_fails_for_that_one() {
        let tenfold = |items: Vec<Arc<u32>>| async move {
            let one = |item: &Arc<u32>| match **item {
                2 => Err(Error::Corrupt("two")),
                other => Ok(other * 10),
            };
            items.iter().map(one).collect::<Result<Vec<u32>, Error>>()
        };
        let results = each_for_itself(vec![1, 2, 3], tenfold).await;
        let wanted = matches!(&results[..], [Ok(10), Err(Error::Corrupt("two")), Ok(30)]);
        assert!(wanted, "{results:?}");
    }

    #[tokio::test]
    async fn what_may_be_stored_is_not_tried_again() {
        let tried = Arc::new(AtomicU32::new(0));
        let count = tried.clone();
        let fail = move |_: Vec<Arc<u32>>| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Err::<Vec<u32>, Error>(Error::Write(WriteError::Stopped)) }
        };
        let results = each_for_itself(vec![1, 2], fail).await;
        assert_eq!(results.len(), 2);
        assert!(results.iter().all(|r| matches!(r, Err(Error::Write(_)))));
        assert_eq!(tried.load(Ordering::Relaxed), 1);
    }
}
