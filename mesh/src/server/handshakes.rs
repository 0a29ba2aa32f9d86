//! Handshakes under way: bounded in number, in time and for each address. A
//! newcomer is never kept waiting for a peer that says nothing: the one that
//! has been at it longest gives way.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::limit::network;

/// What a listener grants those that have yet to prove anything.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeLimits {
    pub timeout: Duration,
    pub at_once: usize,
    /// Of one address: beyond it, the address loses its own and nobody else's.
    pub of_one_address: usize,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            at_once: 1_024,
            of_one_address: 256,
        }
    }
}

pub(super) struct Handshakes {
    limits: HandshakeLimits,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    next: u64,
    /// In the order of arrival.
    by_arrival: BTreeMap<u64, Shaking>,
}

struct Shaking {
    from: IpAddr,
    /// Dropped to end it.
    _kept: oneshot::Sender<()>,
}

impl Handshakes {
    pub(super) fn new(limits: HandshakeLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            under_way: Mutex::default(),
        })
    }

    pub(super) fn begin(self: &Arc<Self>, address: IpAddr) -> Handshake {
        let from = network(address);
        let (kept, given_up) = oneshot::channel();
        let mut under_way = self.lock();
        if let Some(oldest) = under_way.to_give_way(from, &self.limits) {
            under_way.by_arrival.remove(&oldest);
        }
        let number = under_way.next;
        under_way.next += 1;
        let shaking = Shaking { from, _kept: kept };
        under_way.by_arrival.insert(number, shaking);
        Handshake {
            number,
            given_up,
            all: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    fn to_give_way(&self, from: IpAddr, limits: &HandshakeLimits) -> Option<u64> {
        let mut own = self
            .by_arrival
            .iter()
            .filter(|(_, shaking)| shaking.from == from)
            .map(|(number, _)| *number);
        let oldest_own = own.next();
        let count_of_own = usize::from(oldest_own.is_some()) + own.count();
        if count_of_own >= limits.of_one_address {
            oldest_own
        } else if self.by_arrival.len() >= limits.at_once {
            self.by_arrival.keys().next().copied()
        } else {
            None
        }
    }
}

/// A handshake's place, until it is dropped.
pub(super) struct Handshake {
    number: u64,
    given_up: oneshot::Receiver<()>,
    all: Arc<Handshakes>,
}

/// Why a handshake did not come to its end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    TimedOut,
    GaveWay,
}

impl Handshake {
    pub(super) async fn run<F: Future>(mut self, work: F) -> Result<F::Output, Ended> {
        tokio::select! {
            done = work => Ok(done),
            _ = &mut self.given_up => Err(Ended::GaveWay),
            () = tokio::time::sleep(self.all.limits.timeout) => Err(Ended::TimedOut),
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.lock().by_arrival.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn handshakes(at_once: usize, of_one_address: usize) -> Arc<Handshakes> {
        Handshakes::new(HandshakeLimits {
            timeout: Duration::from_secs(3_600),
            at_once,
            of_one_address,
        })
    }

    fn numbers(handshakes: &Handshakes) -> Vec<u64> {
        handshakes.lock().by_arrival.keys().copied().collect()
    }

    #[tokio::test]
    async fn an_address_that_has_too_many_loses_its_own_oldest() {
        let all = handshakes(10, 3);
        let other = all.begin(address("192.0.2.1"));
        let mut many: Vec<_> = (0..5).map(|_| all.begin(address("192.0.2.2"))).collect();
        assert_eq!(numbers(&all), [0, 3, 4, 5]);
        let first = many.remove(0);
        assert_eq!(first.run(pending::<()>()).await, Err(Ended::GaveWay));
        assert_eq!(other.run(ready(7)).await, Ok(7));
        assert_eq!(numbers(&all), [3, 4, 5]);
    }

    #[test]
    fn when_all_places_are_taken_the_oldest_gives_way() {
        let all = handshakes(4, 3);
        let hosts = [
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "192.0.2.4",
            "192.0.2.5",
        ];
        let held: Vec<_> = hosts.iter().map(|host| all.begin(address(host))).collect();
        assert_eq!(numbers(&all), [1, 2, 3, 4]);
        drop(held);
        assert!(numbers(&all).is_empty());
    }

    #[test]
    fn a_host_has_one_ipv6_network() {
        let all = handshakes(10, 1);
        let _first = all.begin(address("2001:db8::1"));
        let _second = all.begin(address("2001:db8::2"));
        assert_eq!(numbers(&all), [1]);
    }

    #[tokio::test]
    async fn a_silent_peer_is_given_up() {
        let all = Handshakes::new(HandshakeLimits {
            timeout: Duration::ZERO,
            ..HandshakeLimits::default()
        });
        let silent = all.begin(address("192.0.2.1"));
        assert_eq!(silent.run(pending::<()>()).await, Err(Ended::TimedOut));
        assert!(numbers(&all).is_empty());
    }
}
