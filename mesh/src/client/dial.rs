//! The connection to a peer, made anew when this process's own certificates
//! change: a peer that no longer trusts the old ones must see the new.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tonic::transport::{Channel, Endpoint};

use super::connector::Connector;
use crate::tls::Credentials;

/// What it takes to reach a peer.
pub(super) struct Dial {
    pub(super) endpoint: Endpoint,
    pub(super) connector: Connector,
    pub(super) credentials: Arc<Credentials>,
}

struct Dialled {
    generation: u64,
    channel: Channel,
}

pub(super) struct Connection {
    dial: Dial,
    dialled: ArcSwap<Dialled>,
}

impl Connection {
    /// Dials at the first call.
    pub(super) fn new(dial: Dial) -> Self {
        let dialled = ArcSwap::from_pointee(dial.dialled());
        Self { dial, dialled }
    }

    /// Calls under way on an earlier channel end on it.
    pub(super) fn channel(&self) -> Channel {
        let dialled = self.dialled.load();
        if dialled.generation == self.dial.credentials.generation() {
            return dialled.channel.clone();
        }
        let renewed = Arc::new(self.dial.dialled());
        let channel = renewed.channel.clone();
        self.dialled.store(renewed);
        channel
    }
}

impl Dial {
    fn dialled(&self) -> Dialled {
        let generation = self.credentials.generation();
        let channel = self
            .endpoint
            .connect_with_connector_lazy(self.connector.clone());
        Dialled {
            generation,
            channel,
        }
    }
}
