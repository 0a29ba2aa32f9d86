//! Who a client is (RFC 6749 section 2.3, RFC 7523, RFC 8705).

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use zeroize::Zeroizing;

use super::{App, snapshot::Snapshot};
use crate::{
    domain::{
        assertion,
        certificate::{self, Thumbprint},
        client::Client,
        limits, secret,
    },
    error::Error,
};

/// What a request shows of its client.
pub(crate) struct Credentials {
    pub(crate) client_id: String,
    pub(crate) proof: Proof,
    /// DER, leaf first; empty where none was shown or none can be seen.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) address: String,
}

pub(crate) enum Proof {
    Secret(Zeroizing<String>),
    Assertion(Zeroizing<String>),
    /// The certificate alone.
    Certificate,
}

/// A client that has proved itself.
pub(crate) struct Authenticated {
    pub(crate) client: Arc<Client>,
    /// What its tokens are bound to.
    pub(crate) certificate: Option<Thumbprint>,
}

/// Whose wrong proofs are counted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Failing {
    Name([u8; 32]),
    Address(String),
}

impl App {
    /// One error and the same work for every reason. A right proof is never
    /// refused for the wrong ones that came before it: guessing locks nobody
    /// out, it is only told to wait.
    pub(crate) async fn authenticate(
        &self,
        credentials: &Credentials,
    ) -> Result<Authenticated, Error> {
        let snapshot = self.snapshot().await?;
        match self.prove(&snapshot, credentials).await? {
            Some(authenticated) => Ok(authenticated),
            None => Err(self.authentication_failed(&snapshot, credentials)),
        }
    }

    async fn prove(
        &self,
        snapshot: &Snapshot,
        credentials: &Credentials,
    ) -> Result<Option<Authenticated>, Error> {
        let now = self.parts.clock.now();
        let (client, proved) = match &credentials.proof {
            Proof::Secret(value) => {
                let client = snapshot.client(&credentials.client_id);
                let live: Vec<&[u8]> = client
                    .iter()
                    .flat_map(|client| &client.secrets)
                    .filter(|secret| secret.is_live(now))
                    .map(|secret| secret.hash.as_slice())
                    .collect();
                let key = &self.parts.secret_key;
                let good = secret::verify(key, &credentials.client_id, value, &live);
                (client, good)
            }
            Proof::Assertion(token) => {
                let client = assertion::claimed_client(token)
                    .filter(|id| credentials.client_id.is_empty() || *id == credentials.client_id)
                    .and_then(|id| snapshot.client(&id));
                let good = match &client {
                    Some(client) => self.assertion_is_good(client, token, now).await?,
                    None => false,
                };
                (client, good)
            }
            Proof::Certificate => {
                let client = snapshot.client(&credentials.client_id);
                let registered = client
                    .as_ref()
                    .is_some_and(|client| client.settings.certificate.is_some());
                (client, registered)
            }
        };
        let Some(client) = client.filter(|client| proved && !client.disabled) else {
            return Ok(None);
        };
        // Whatever else proves it: a client with a certificate shows it.
        let certificate = match &client.settings.certificate {
            None => None,
            Some(required) => {
                let time = std::time::Duration::from_secs(now.as_second().unsigned_abs());
                if !required.matches(&credentials.chain, UnixTime::since_unix_epoch(time)) {
                    return Ok(None);
                }
                credentials
                    .chain
                    .first()
                    .map(|leaf| certificate::thumbprint(leaf))
            }
        };
        Ok(Some(Authenticated {
            client,
            certificate,
        }))
    }

    async fn assertion_is_good(
        &self,
        client: &Client,
        token: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let Some(keys) = &client.settings.keys else {
            return Ok(false);
        };
        let issuer = &self.parts.tokens.issuer;
        let endpoint = format!("{issuer}/oauth2/token");
        let audiences = [issuer.as_str(), endpoint.as_str()];
        let Some(assertion) = assertion::verify(token, &client.id, keys, &audiences, now) else {
            return Ok(false);
        };
        let name = [b"assertion", client.id.as_bytes(), assertion.jti.as_bytes()];
        let mac = self.parts.secret_key.mac(&name);
        let until = Timestamp::from_second(assertion.refused_from).unwrap_or(Timestamp::MAX);
        self.parts.store.use_assertion(mac.to_vec(), until).await
    }

    fn authentication_failed(&self, snapshot: &Snapshot, credentials: &Credentials) -> Error {
        let known = snapshot.client(&credentials.client_id);
        self.parts
            .summaries
            .authentication_failed(known.as_ref().map(|client| client.id.as_str()));
        let failures = &self.parts.failures;
        let quota = limits::failures();
        // By the name offered, known or not: the answers must not differ.
        let name = self
            .parts
            .secret_key
            .mac(&[b"name", credentials.client_id.as_bytes()]);
        let by_client = failures.take(Failing::Name(name), quota);
        let by_address = failures.take(Failing::Address(credentials.address.clone()), quota);
        match by_client.and(by_address) {
            Ok(()) => Error::InvalidClient,
            Err(limited) => Error::Limited(limited),
        }
    }
}
