//! How long certificates are good: a server's as it shows it, one's own and
//! the trust bundle's as they lie on disk.

use std::{path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use mesh::tls::{Credentials, read_certificates};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use x509_parser::prelude::{FromDer, X509Certificate};

const HANDSHAKE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl Lifetime {
    fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            from: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            until: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }

    /// Negative once it has ended.
    pub(crate) fn left(&self, now: Timestamp) -> SignedDuration {
        self.until.duration_since(now)
    }

    /// Whoever renews certificates does it at two thirds of their life or so.
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        self.left(now).as_secs() < self.until.duration_since(self.from).as_secs() / 5
    }
}

/// Of the certificate with which a service answers a handshake of ours.
pub(crate) async fn of_server(
    credentials: &Credentials,
    service: &'static str,
    endpoint: &str,
) -> Result<Lifetime, String> {
    let uri: http::Uri = endpoint
        .parse()
        .map_err(|_| format!("{endpoint} is no URL"))?;
    let host = uri
        .host()
        .ok_or_else(|| format!("{endpoint} names no host"))?;
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(443));
    let config = credentials
        .client_config(service)
        .map_err(|error| error.to_string())?;
    let name = ServerName::try_from(service).map_err(|error| error.to_string())?;
    let handshake = async {
        let stream = TcpStream::connect(&address).await?;
        TlsConnector::from(config).connect(name, stream).await
    };
    let stream = tokio::time::timeout(HANDSHAKE, handshake)
        .await
        .map_err(|_| format!("{address} does not answer"))?
        .map_err(|error| format!("{address}: {error}"))?;
    let (_, connection) = stream.get_ref();
    connection
        .peer_certificates()
        .and_then(|chain| Lifetime::of(chain.first()?))
        .ok_or_else(|| format!("{address} shows no certificate"))
}

/// Of the first certificate of a file.
pub(crate) fn of_file(path: &Path) -> Result<Lifetime, String> {
    lifetimes(path)?
        .into_iter()
        .next()
        .ok_or_else(|| unreadable(path))
}

/// Of the one that lasts longest: a bundle holds the root on its way out too.
pub(crate) fn longest_of_file(path: &Path) -> Result<Lifetime, String> {
    lifetimes(path)?
        .into_iter()
        .max_by_key(|lifetime| lifetime.until)
        .ok_or_else(|| unreadable(path))
}

fn lifetimes(path: &Path) -> Result<Vec<Lifetime>, String> {
    read_certificates(path)
        .map_err(|error| error.to_string())?
        .iter()
        .map(|der| Lifetime::of(der).ok_or_else(|| unreadable(path)))
        .collect()
}

fn unreadable(path: &Path) -> String {
    format!("{}: a certificate that cannot be read", path.display())
}

#[cfg(test)]
mod tests {
    use propctl::dev::{self, Names, Validity};

    use super::*;

    #[test]
    fn a_lifetime_is_read_from_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let ca = dir.path().join("ca");
        let root = dev::create_ca(&ca, "propdev.test").expect("a CA");
        let from: Timestamp = "2026-11-24T06:00:00Z".parse().expect("a time");
        let validity = Validity { from, days: 10 };
        let out = dir.path().join("leaf");
        let issued = dev::issue_mesh(&ca, "svc/auth-svc", &Names::default(), validity, &out)
            .expect("a certificate");
        let leaf = of_file(&issued.certificate).expect("a lifetime");
        assert_eq!(leaf.until.to_string(), "2026-12-05T00:00:00Z");
        assert!(
            longest_of_file(&root.certificate)
                .expect("a lifetime")
                .until
                > leaf.until
        );
        assert!(of_file(&issued.private_key).is_err());
    }

    #[test]
    fn renewal_is_overdue_in_the_last_fifth() {
        let from: Timestamp = "2026-11-01T00:00:00Z".parse().expect("a time");
        let lifetime = Lifetime {
            from,
            until: from + SignedDuration::from_hours(100),
        };
        assert!(!lifetime.is_overdue(from + SignedDuration::from_hours(79)));
        assert!(lifetime.is_overdue(from + SignedDuration::from_hours(81)));
        assert!(
            lifetime
                .left(from + SignedDuration::from_hours(101))
                .is_negative()
        );
    }
}
