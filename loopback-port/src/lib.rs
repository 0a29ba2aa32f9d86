//! Ports for programs that bind them later, or again after a restart.
//!
//! A port that the system picks is one of those it also gives to outgoing
//! connections: between two runs of a program any client may be sitting on it,
//! even a client that dials this very port and so connects to itself. Ports
//! from below that range are nobody's but the listener's.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Below what Linux (from 32768), macOS and the BSDs (from 49152) give to
/// outgoing connections, and above the well-known servers of a developer.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Ports that this process has asked for.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// A listener on a free port of 127.0.0.1. A process is not given a port again
/// before it was given all the others, so a dropped listener's port stays free
/// for the program that it was meant for.
///
/// # Errors
/// `AddrInUse` when other programs hold every port of the range; whatever else
/// the system says of binding.
pub fn bind() -> io::Result<TcpListener> {
    for _ in 0..COUNT {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port(asked))) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Each process begins elsewhere, so that two at a time seldom meet.
fn port(asked: u32) -> u16 {
    const STRIDE: u32 = 641;
    let begin = process::id().wrapping_mul(STRIDE);
    let at = begin.wrapping_add(asked) % u32::from(COUNT);
    FIRST + u16::try_from(at).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_dropped_listeners_port_is_not_given_again() {
        let ports: Vec<u16> = (0..200)
            .map(|_| {
                let listener = bind().expect("a port");
                listener.local_addr().expect("an address").port()
            })
            .collect();
        let distinct: HashSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), ports.len());
        assert!(
            ports
                .iter()
                .all(|port| (FIRST..FIRST + COUNT).contains(port))
        );
    }

    #[test]
    fn what_another_holds_is_passed_over() {
        let held: Vec<_> = (0..20).map(|_| bind().expect("a port")).collect();
        let again = TcpListener::bind(held[0].local_addr().expect("an address"));
        assert!(again.is_err(), "the first is still held");
    }
}
