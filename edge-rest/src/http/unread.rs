//! What an answer leaves unread of its request's body. HTTP/1.1 has no way to
//! stop a sender: where the connection ended while the body is still coming,
//! the answer would be lost with it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
};
use bytes::Bytes;
use http::{Version, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::body::BATCH_LIMIT;

/// More than any path takes: who sends a little too much is told so.
const MOST: usize = 2 * BATCH_LIMIT;
/// Nobody holds a connection for longer by sending slowly.
const LONGEST: Duration = Duration::from_secs(2);

/// The handler's body, kept in sight.
#[derive(Clone)]
pub(super) struct Unread(Arc<Mutex<Body>>);

impl Unread {
    /// None where nothing can be left: HTTP/2 stops a stream by itself, and who
    /// expects a 100 has sent nothing yet.
    pub(super) fn of(request: &mut Request) -> Option<Self> {
        if request.version() == Version::HTTP_2
            || request.headers().contains_key(header::EXPECT)
            || request.body().is_end_stream()
        {
            return None;
        }
        let body = std::mem::take(request.body_mut());
        let unread = Self(Arc::new(Mutex::new(body)));
        *request.body_mut() = Body::new(unread.clone());
        Some(unread)
    }

    /// Reads to the end and keeps nothing; false when that is too long or takes
    /// too long.
    pub(super) async fn discard(mut self, within: Duration) -> bool {
        let read = async {
            let mut left = MOST;
            while let Some(frame) = self.frame().await {
                let length = match &frame {
                    Ok(frame) => frame.data_ref().map_or(0, Bytes::len),
                    Err(_) => return false,
                };
                let Some(rest) = left.checked_sub(length) else {
                    return false;
                };
                left = rest;
            }
            true
        };
        tokio::time::timeout(within.min(LONGEST), read)
            .await
            .unwrap_or(false)
    }

    fn lock(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Unread {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn request(body: Body) -> Request {
        Request::new(body)
    }

    fn chunks(number: usize) -> Body {
        let chunks = (0..number).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024]));
        Body::from_stream(stream::iter(chunks))
    }

    async fn discarded(body: Body, within: Duration) -> bool {
        let unread = Unread::of(&mut request(body)).expect("a body");
        unread.discard(within).await
    }

    #[tokio::test]
    async fn what_is_left_is_read_within_bounds() {
        assert!(discarded(chunks(MOST / 1024), LONG).await);
        assert!(!discarded(chunks(MOST / 1024 + 1), LONG).await);
        let endless = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(!discarded(endless, Duration::from_millis(1)).await);
        let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("gone")) });
        assert!(!discarded(Body::from_stream(broken.chain(stream::pending())), LONG).await);
    }

    #[tokio::test]
    async fn the_handler_reads_it_as_ever() {
        let mut request = request(chunks(3));
        let unread = Unread::of(&mut request).expect("a body");
        let read = request.into_body().collect().await.expect("read");
        assert_eq!(read.to_bytes().len(), 3 * 1024);
        assert!(unread.discard(LONG).await);
    }

    #[test]
    fn nothing_is_kept_where_nothing_can_be_left() {
        assert!(Unread::of(&mut request(Body::empty())).is_none());
        let mut streams = request(chunks(1));
        *streams.version_mut() = Version::HTTP_2;
        assert!(Unread::of(&mut streams).is_none());
        let mut asks = request(chunks(1));
        let value = http::HeaderValue::from_static("100-continue");
        asks.headers_mut().insert(header::EXPECT, value);
        assert!(Unread::of(&mut asks).is_none());
    }
}
