//! Following openings and events: a stream that goes on, by its cursor, where
//! an earlier one broke off.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use mesh::shutdown::Shutdown;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

use super::App;
use crate::{
    domain::{event::Event, opening::Opening},
    error::Error,
    store::{Feed, Filter, Span},
};

/// How often what is new gets its number.
const NUMBER_EVERY: Duration = Duration::from_millis(100);
/// A stream that has nothing to tell says so this often.
const SILENCE: Duration = Duration::from_secs(15);
/// A stream ends after this, so that its caller's right is looked at again.
const STREAM_FOR: Duration = Duration::from_secs(60);
/// Streams at once.
const MOST_FOLLOWERS: usize = 64;
/// Rows read at once.
const BATCH: u64 = 100;

/// How far the feeds have come, as this replica knows, and who follows them.
pub(crate) struct Feeds {
    openings: watch::Sender<i64>,
    events: watch::Sender<i64>,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Feeds {
    pub(crate) fn new(shutdown: Shutdown) -> Self {
        Self {
            openings: watch::Sender::new(0),
            events: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(MOST_FOLLOWERS)),
            shutdown,
        }
    }

    /// What ends every stream.
    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    fn of(&self, feed: Feed) -> &watch::Sender<i64> {
        match feed {
            Feed::Openings => &self.openings,
            Feed::Events => &self.events,
        }
    }
}

/// What a follower is told: a thing, or only how far the stream has come.
pub(crate) struct Told<T> {
    pub(crate) cursor: i64,
    pub(crate) thing: Option<T>,
}

pub(crate) type Followed<T> = BoxStream<'static, Result<Told<T>, Error>>;

type Read<T> = Box<dyn Fn(Span) -> BoxFuture<'static, Result<Vec<(i64, T)>, Error>> + Send>;

struct Following<T> {
    read: Read<T>,
    last: watch::Receiver<i64>,
    /// Everything up to here was read.
    cursor: i64,
    waiting: VecDeque<(i64, T)>,
    begun: bool,
    failed: bool,
    until: Instant,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
}

impl App {
    /// From the cursor on; without one, what comes from now on.
    pub(crate) async fn follow_openings(
        &self,
        cursor: Option<i64>,
        filter: Filter,
    ) -> Result<Followed<Opening>, Error> {
        let store = self.parts.store.clone();
        let read: Read<Opening> = Box::new(move |span| {
            let (store, filter) = (store.clone(), filter.clone());
            async move { store.numbered_openings(span, filter).await }.boxed()
        });
        self.follow(Feed::Openings, cursor, read).await
    }

    pub(crate) async fn follow_events(
        &self,
        cursor: Option<i64>,
        filter: Filter,
    ) -> Result<Followed<Event>, Error> {
        let store = self.parts.store.clone();
        let read: Read<Event> = Box::new(move |span| {
            let (store, filter) = (store.clone(), filter.clone());
            async move { store.numbered_events(span, filter).await }.boxed()
        });
        self.follow(Feed::Events, cursor, read).await
    }

    async fn follow<T: Send + 'static>(
        &self,
        feed: Feed,
        cursor: Option<i64>,
        read: Read<T>,
    ) -> Result<Followed<T>, Error> {
        let feeds = &self.parts.feeds;
        let place = feeds.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Error::TooManyFollowers)?;
        let last = self.parts.store.last_number(feed).await?;
        let cursor = cursor.unwrap_or(last);
        // Of a database that was since restored to an earlier state: what
        // comes would have numbers that the follower takes for known.
        if cursor > last {
            return Err(Error::CursorUnknown);
        }
        let following = Following {
            read,
            last: feeds.of(feed).subscribe(),
            cursor,
            waiting: VecDeque::new(),
            begun: false,
            failed: false,
            until: Instant::now() + STREAM_FOR,
            shutdown: feeds.shutdown.clone(),
            _place: place,
        };
        Ok(stream::unfold(following, |mut following| async move {
            let told = following.next().await?;
            Some((told, following))
        })
        .boxed())
    }

    /// Gives numbers to what is new, on whichever replica, until shutdown.
    pub(crate) async fn number_feeds(self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(NUMBER_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.number_once().await {
                Ok(()) => told = false,
                Err(error) if !told => {
                    tracing::warn!(%error, "followers wait for the database");
                    told = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn number_once(&self) -> Result<(), Error> {
        let store = &self.parts.store;
        for feed in [Feed::Openings, Feed::Events] {
            while store.number(feed).await? > 0 {}
            let last = store.last_number(feed).await?;
            self.parts.feeds.of(feed).send_if_modified(|known| {
                let moved = *known != last;
                *known = last;
                moved
            });
        }
        Ok(())
    }
}

impl<T> Following<T> {
    /// None at the stream's end.
    async fn next(&mut self) -> Option<Result<Told<T>, Error>> {
        if !self.begun {
            // A follower that starts from now learns where that is.
            self.begun = true;
            return Some(Ok(self.so_far()));
        }
        loop {
            if let Some((cursor, thing)) = self.waiting.pop_front() {
                let thing = Some(thing);
                return Some(Ok(Told { cursor, thing }));
            }
            if self.failed || self.shutdown.is_cancelled() || self.until <= Instant::now() {
                return None;
            }
            let last = *self.last.borrow_and_update();
            if last > self.cursor {
                if let Err(error) = self.read_up_to(last).await {
                    self.failed = true;
                    return Some(Err(error));
                }
                continue;
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                () = tokio::time::sleep(SILENCE) => return Some(Ok(self.so_far())),
                changed = self.last.changed() => if changed.is_err() {
                    return None;
                },
            }
        }
    }

    async fn read_up_to(&mut self, last: i64) -> Result<(), Error> {
        let rows = (self.read)(Span {
            after: self.cursor,
            up_to: last,
            limit: BATCH,
        })
        .await?;
        self.cursor = match rows.last() {
            Some((number, _)) if rows.len() as u64 == BATCH => *number,
            _ => last,
        };
        self.waiting = rows.into();
        Ok(())
    }

    fn so_far(&self) -> Told<T> {
        Told {
            cursor: self.cursor,
            thing: None,
        }
    }
}
