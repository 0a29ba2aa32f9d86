//! The HTTP client for Transit: https alone but on loopback, no redirects, no
//! proxy, no retries.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    version::{TLS12, TLS13},
};
use url::{Host, Url};

use super::TransitError;
use crate::tls::read_certificates;

const CONNECT: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(5);

/// The endpoint, and whether it is spoken to without TLS.
pub(super) fn endpoint(text: &str) -> Result<(Url, bool), TransitError> {
    let url = Url::parse(text).map_err(|_| TransitError::Endpoint)?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let plain = match url.scheme() {
        "https" => false,
        "http" if loopback => true,
        _ => return Err(TransitError::Endpoint),
    };
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if bare {
        Ok((url, plain))
    } else {
        Err(TransitError::Endpoint)
    }
}

pub(super) fn build(ca: Option<&Path>, plain: bool) -> Result<reqwest::Client, TransitError> {
    let mut roots = RootCertStore::empty();
    let certificates = match ca {
        Some(path) => read_certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() && !plain {
        return Err(TransitError::NoRoots);
    }
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| TransitError::Client)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(!plain)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .user_agent(concat!("propdev-mesh/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| TransitError::Client)
}

/// An error with its causes, of which the last one tells most.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_spoken_to_in_the_clear() {
        for good in [
            "https://vault.example",
            "https://10.0.0.7:8200/prefix/",
            "http://127.0.0.1:8200",
            "http://localhost:8200",
            "http://[::1]:8200",
        ] {
            let (url, plain) = endpoint(good).expect("an endpoint");
            assert_eq!(plain, url.scheme() == "http", "{good}");
        }
        for bad in [
            "",
            "vault.example",
            "http://vault.example",
            "http://10.0.0.7:8200",
            "ftp://127.0.0.1",
            "https://user@vault.example",
            "https://:word@vault.example",
            "https://vault.example/?a=b",
            "https://vault.example/#a",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
