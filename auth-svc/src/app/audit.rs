//! What the audit log shall know, on its way to access-svc: into the outbox
//! first, so that neither a crash nor an absent access-svc loses it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use mesh::{
    custody::Act,
    gather::Gatherer,
    limit::{TOLD_EVERY, Tally},
    shutdown::Shutdown,
};
use tokio::sync::mpsc;

use super::App;
use crate::{
    clients::encode_event,
    domain::audit::{Event, Kind},
    error::Error,
    store::{Encoded, Store},
};

/// How long an event of a client-only token may wait for its group.
const WRITE_BEHIND: Duration = Duration::from_millis(250);
const DRAIN_EVERY: Duration = Duration::from_millis(250);
const GROUP: usize = 1_000;
/// Clients that a summary counts apart; the others go together.
const MOST_NAMED: usize = 100;

/// Events that are written before their answer, many in one statement; false
/// for those that could not be.
pub(crate) type Outbox = Gatherer<Encoded, bool>;

pub(super) fn encoded(event: &Event) -> Encoded {
    (event.id, encode_event(event))
}

/// What was done to the store's keys or backups.
pub(crate) fn acted(act: Act) -> Encoded {
    encoded(&Event {
        code: act.code,
        actor: Some(act.actor),
        request_id: act.request.unwrap_or_default(),
        subject: Some(act.subject),
        ..Event::new(Kind::Custody, act.at)
    })
}

pub(crate) fn outbox(store: Store) -> Outbox {
    Gatherer::start(1, GROUP, move |events: Vec<Encoded>| {
        let store = store.clone();
        async move {
            let count = events.len();
            let stored = store.add_events(events).await;
            if let Err(error) = &stored {
                tracing::warn!(%error, events = count, "audit events were not stored");
            }
            vec![stored.is_ok(); count]
        }
        .boxed()
    })
}

/// Events that are written behind.
pub(crate) struct Behind {
    sender: mpsc::Sender<Event>,
    receiver: Mutex<Option<mpsc::Receiver<Event>>>,
}

impl Default for Behind {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(8 * GROUP);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

/// What strangers can cause at will is counted, and told once a minute.
pub(crate) struct Summaries(Tally<(Kind, Option<String>)>);

impl Default for Summaries {
    fn default() -> Self {
        Self(Tally::new(MOST_NAMED))
    }
}

impl Summaries {
    /// A client's name only where it is registered: others are a stranger's.
    pub(crate) fn authentication_failed(&self, client_id: Option<&str>) {
        self.count(Kind::AuthenticationFailed, client_id, 1);
    }

    pub(crate) fn rate_limited(&self, client_id: &str) {
        self.count(Kind::RateLimited, Some(client_id), 1);
    }

    fn count(&self, kind: Kind, client_id: Option<&str>, times: u32) {
        let client_id = client_id.map(str::to_owned);
        self.0.add((kind, client_id), (kind, None), times);
    }
}

impl App {
    /// Answers once the event is durable.
    pub(crate) async fn record(&self, event: Event) -> Result<(), Error> {
        match self.parts.outbox.submit(encoded(&event)).await {
            Ok(true) => Ok(()),
            // Why, the log says.
            Ok(false) | Err(_) => Err(Error::Outbox),
        }
    }

    /// What the edge refused by address: nobody has said who they are.
    pub(crate) fn edge_refused(&self, count: u64) {
        let times = u32::try_from(count).unwrap_or(u32::MAX);
        self.parts.summaries.count(Kind::RateLimited, None, times);
    }

    /// Durable within a second; waits only when very many do.
    pub(crate) async fn record_behind(&self, event: Event) -> Result<(), Error> {
        match self.parts.behind.sender.send(event).await {
            Ok(()) => Ok(()),
            // Already shutting down: nothing gathers any more.
            Err(mpsc::error::SendError(event)) => self.record(event).await,
        }
    }

    /// Writes what gathers, until shutdown and the last of it.
    pub(crate) async fn write_behind(&self, shutdown: Shutdown) {
        let receiver = self
            .parts
            .behind
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut receiver) = receiver else { return };
        let mut group = Vec::with_capacity(GROUP);
        loop {
            if shutdown.is_cancelled() {
                receiver.close();
            }
            let taken = tokio::select! {
                taken = receiver.recv_many(&mut group, GROUP) => taken,
                () = shutdown.cancelled(), if !receiver.is_closed() => continue,
            };
            if taken == 0 {
                return;
            }
            let events: Vec<_> = group.drain(..).map(|event| encoded(&event)).collect();
            while let Err(error) = self.parts.store.add_events(events.clone()).await {
                tracing::warn!(%error, events = events.len(), "audit events wait for the database");
                tokio::time::sleep(DRAIN_EVERY).await;
                if shutdown.is_cancelled() {
                    return;
                }
            }
            // The rest of the group's time: one commit for whatever comes in it.
            if taken < GROUP && !shutdown.is_cancelled() {
                tokio::select! {
                    () = tokio::time::sleep(WRITE_BEHIND) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
    }

    /// Hands the outbox to access-svc, until shutdown.
    pub(crate) async fn drain_outbox(&self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(DRAIN_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.drain_once().await {
                Ok(()) => told = false,
                Err(error) if !told => {
                    tracing::warn!(%error, "audit events wait for access-svc");
                    told = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn drain_once(&self) -> Result<(), Error> {
        loop {
            let events = self.parts.store.events(GROUP as u64).await?;
            if events.is_empty() {
                return Ok(());
            }
            let count = events.len();
            let (ids, payloads) = events.into_iter().unzip();
            self.parts.access.append_auth_events(payloads).await?;
            self.parts.store.drop_events(ids).await?;
            if count < GROUP {
                return Ok(());
            }
        }
    }

    /// One event a minute of each kind and client that strangers or hurried
    /// clients can cause, until shutdown.
    pub(crate) async fn summarise(&self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(TOLD_EVERY) => {}
            }
            if let Err(error) = self.record_summaries().await {
                tracing::warn!(%error, "a summary was not stored; the next one tells it too");
            }
            if shutdown.is_cancelled() {
                return;
            }
        }
    }

    async fn record_summaries(&self) -> Result<(), Error> {
        let now = self.parts.clock.now();
        let Summaries(tally) = &self.parts.summaries;
        let counted = tally.counted();
        let events = counted.iter().map(|((kind, client_id), count)| {
            encoded(&Event {
                client_id: client_id.clone(),
                count: *count,
                code: match kind {
                    Kind::RateLimited => "rate_limited",
                    _ => "invalid_client",
                },
                ..Event::new(*kind, now)
            })
        });
        self.parts.store.add_events(events.collect()).await?;
        tally.told(&counted);
        Ok(())
    }
}
