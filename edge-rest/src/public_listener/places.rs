//! Connections held: so many in all, and so many of one address, so that no
//! stranger has all of them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh::limit::network;

use crate::config::PublicConfig;

pub(super) struct Places {
    most: usize,
    most_of_one: usize,
    /// Behind a proxy stand many.
    proxies: Vec<ipnet::IpNet>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's, until it is dropped.
pub(super) struct Place {
    of: IpAddr,
    places: Arc<Places>,
}

impl Places {
    pub(super) fn new(config: &PublicConfig) -> Arc<Self> {
        Arc::new(Self {
            most: config.max_connections.get() as usize,
            most_of_one: config.max_connections_of_one_address.get() as usize,
            proxies: config.trusted_proxies.clone(),
            held: Mutex::default(),
        })
    }

    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let is_proxy = self.proxies.iter().any(|net| net.contains(&address));
        let of = network(address);
        let mut held = self.lock();
        let own = held.by_address.get(&of).copied().unwrap_or(0);
        if held.all >= self.most || (own >= self.most_of_one && !is_proxy) {
            return None;
        }
        held.all += 1;
        held.by_address.insert(of, own + 1);
        Some(Place {
            of,
            places: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        held.all -= 1;
        if let Some(own) = held.by_address.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                held.by_address.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_has_its_share_and_all_have_the_whole() {
        let mut config = crate::config::sample().public;
        config.max_connections = 5.try_into().expect("not zero");
        config.max_connections_of_one_address = 2.try_into().expect("not zero");
        config.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        let places = Places::new(&config);
        let one = address("192.0.2.1");
        let held: Vec<_> = (0..2).map(|_| places.take(one)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(one).is_none());
        assert!(places.take(address("::ffff:192.0.2.1")).is_none());
        let proxied: Vec<_> = (0..3).map(|_| places.take(address("10.1.1.1"))).collect();
        assert!(proxied.iter().all(Option::is_some), "it stands for many");
        assert!(places.take(address("192.0.2.2")).is_none(), "all are taken");
        drop((held, proxied));
        assert!(places.take(one).is_some());
        assert!(places.lock().by_address.is_empty(), "nothing is kept");
    }
}
