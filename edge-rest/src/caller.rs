//! Who is at the other end: the address that limits count, and the
//! certificate that tokens are bound to. Both are the socket's own, unless a
//! proxy that the operator trusts tells otherwise.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// What a connection shows of whoever made it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) address: IpAddr,
    /// DER, leaf first; proved by the handshake, verified by nobody yet.
    pub(crate) certificates: Arc<[Vec<u8>]>,
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) address: IpAddr,
    pub(crate) certificates: Arc<[Vec<u8>]>,
}

/// Which proxies are believed, and what of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    pub(crate) trusted: Vec<IpNet>,
    /// Carries the client's certificate as RFC 9440 writes it; none binds no
    /// token behind a proxy.
    pub(crate) certificate_header: Option<HeaderName>,
}

const FORWARDED: &str = "x-forwarded-for";

impl Proxies {
    fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }

    pub(crate) fn caller(&self, connection: &Connection, headers: &HeaderMap) -> Caller {
        let direct = connection.address.to_canonical();
        if !self.trust(direct) {
            return Caller {
                address: direct,
                certificates: connection.certificates.clone(),
            };
        }
        // The proxy's own certificate is not the client's: without the header
        // there is none, and a bound token is refused.
        let certificate = self.certificate_header.as_ref().and_then(|name| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => byte_sequence(value.to_str().ok()?),
                _ => None,
            }
        });
        Caller {
            address: self.forwarded(headers).unwrap_or(direct),
            certificates: certificate.into_iter().collect(),
        }
    }

    /// The nearest hop that is no proxy of ours; what stands before it in the
    /// list is whatever the sender made up.
    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut farthest = None;
        for value in headers.get_all(FORWARDED).iter().rev() {
            for hop in value.to_str().ok()?.rsplit(',') {
                let address: IpAddr = hop.trim().parse().ok()?;
                let address = address.to_canonical();
                farthest = Some(address);
                if !self.trust(address) {
                    return farthest;
                }
            }
        }
        farthest
    }
}

/// A structured field's byte sequence (RFC 9651 section 3.3.5): `:base64:`.
fn byte_sequence(text: &str) -> Option<Vec<u8>> {
    let inside = text.trim().strip_prefix(':')?.strip_suffix(':')?;
    STANDARD.decode(inside).ok()
}

impl Caller {
    /// SHA-256 of the leaf; empty without one.
    pub(crate) fn certificate_sha256(&self) -> Vec<u8> {
        self.certificates.first().map_or_else(Vec::new, |leaf| {
            ring::digest::digest(&ring::digest::SHA256, leaf)
                .as_ref()
                .to_vec()
        })
    }

    /// What limits count.
    pub(crate) fn network(&self) -> IpAddr {
        mesh::limit::network(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(address: &str) -> Connection {
        Connection {
            address: address.parse().expect("an address"),
            certificates: Arc::new([b"proxy".to_vec()]),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    fn proxies(header: Option<&'static str>) -> Proxies {
        Proxies {
            trusted: vec!["10.0.0.0/8".parse().expect("a network")],
            certificate_header: header.map(HeaderName::from_static),
        }
    }

    #[test]
    fn a_strangers_headers_say_nothing() {
        let told = headers(&[("x-forwarded-for", "1.2.3.4"), ("client-cert", ":YQ==:")]);
        let caller = proxies(Some("client-cert")).caller(&connection("203.0.113.9"), &told);
        assert_eq!(caller.address.to_string(), "203.0.113.9");
        assert_eq!(caller.certificates[..], [b"proxy".to_vec()]);
    }

    #[test]
    fn a_trusted_proxy_tells_the_nearest_stranger() {
        for (told, wanted) in [
            (vec!["1.2.3.4"], "1.2.3.4"),
            (vec!["6.6.6.6, 1.2.3.4, 10.1.1.1"], "1.2.3.4"),
            (vec!["6.6.6.6", "1.2.3.4, 10.1.1.1"], "1.2.3.4"),
            (vec!["::ffff:1.2.3.4"], "1.2.3.4"),
            (vec!["10.2.2.2"], "10.2.2.2"),
            (vec!["1.2.3.4, nonsense"], "10.0.0.1"),
            (vec![], "10.0.0.1"),
        ] {
            let pairs: Vec<_> = told.iter().map(|v| ("x-forwarded-for", *v)).collect();
            let caller = proxies(None).caller(&connection("10.0.0.1"), &headers(&pairs));
            assert_eq!(caller.address.to_string(), wanted, "{told:?}");
        }
    }

    #[test]
    fn a_proxys_certificate_is_never_taken_for_the_clients() {
        let from = connection("10.0.0.1");
        let told = headers(&[("client-cert", ":YQ==:")]);
        assert!(proxies(None).caller(&from, &told).certificates.is_empty());
        let seen = proxies(Some("client-cert")).caller(&from, &told);
        assert_eq!(seen.certificates[..], [b"a".to_vec()]);
        assert_eq!(seen.certificate_sha256().len(), 32);
        for wrong in ["YQ==", ":YQ", ":!:", ""] {
            let told = headers(&[("client-cert", wrong)]);
            let seen = proxies(Some("client-cert")).caller(&from, &told);
            assert!(seen.certificates.is_empty(), "{wrong}");
            assert!(seen.certificate_sha256().is_empty());
        }
        let twice = headers(&[("client-cert", ":YQ==:"), ("client-cert", ":Yg==:")]);
        let seen = proxies(Some("client-cert")).caller(&from, &twice);
        assert!(seen.certificates.is_empty());
    }

    #[test]
    fn an_ipv6_host_is_counted_by_its_network() {
        let caller = |address: &str| Caller {
            address: address.parse().expect("an address"),
            certificates: Arc::new([]),
        };
        let network = |address: &str| caller(address).network().to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
