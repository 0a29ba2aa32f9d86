//! Work that is done for many at once, and whose failure is nobody else's.

use std::sync::Arc;

use futures::future::join_all;

use crate::error::Error;

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
