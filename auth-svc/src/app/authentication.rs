//! Who a client is (RFC 6749 section 2.3, RFC 7523, RFC 8705).

use std::{borrow::Cow, sync::Arc, time::Duration};

use jiff::Timestamp;
use mesh::limit::{Attempt, Limited};
use moka::sync::Cache;
use rustls::pki_types::UnixTime;
use zeroize::Zeroizing;

use super::{App, snapshot::Snapshot};
use crate::{
    domain::{
        assertion::{self, Assertion},
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

/// A client whose proof is good, unless it was used before.
struct Proved {
    authenticated: Authenticated,
    assertion: Option<Assertion>,
}

/// Whose wrong proofs are counted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Failing {
    /// The keyed hash of a name, known or not, and the address it comes from.
    Name([u8; 32], String),
    Address(String),
}

/// From where a client has proved itself of late.
pub(crate) type Proven = Cache<Failing, ()>;

const MOST_PROVEN: u64 = 100_000;
const PROVEN_FOR: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn proven() -> Proven {
    Cache::builder()
        .max_capacity(MOST_PROVEN)
        .time_to_idle(PROVEN_FOR)
        .build()
}

impl Credentials {
    /// Whose the proof is said to be.
    fn name(&self) -> Cow<'_, str> {
        match &self.proof {
            Proof::Assertion(token) if self.client_id.is_empty() => {
                assertion::claimed_client(token).unwrap_or_default().into()
            }
            _ => self.client_id.as_str().into(),
        }
    }
}

impl App {
    /// One error for every reason, and the same work for an unknown name as for
    /// a wrong secret or assertion; a certificate tells of its client by itself.
    ///
    /// Whoever guesses at a name is refused unheard at their own address, and
    /// nowhere else; not where the client has proved itself, since others may
    /// share its address: there a guess is told to wait and the right proof is
    /// heard. Takes one from the client's rate before an assertion is used up.
    pub(crate) async fn authenticate(
        &self,
        credentials: &Credentials,
    ) -> Result<Authenticated, Error> {
        let snapshot = self.snapshot().await?;
        let name = credentials.name();
        let mac = self.parts.secret_key.mac(&[b"name", name.as_bytes()]);
        let failing = Failing::Name(mac, credentials.address.clone());
        let proven = self.parts.proven.get(&failing).is_some();
        if !proven && let Err(limited) = self.may_prove(&failing) {
            self.count_failure(&snapshot, &name);
            return Err(limited.into());
        }
        let proved = match self.prove(&snapshot, &name, credentials) {
            Some(proved) => {
                self.take_request(&proved.authenticated.client)?;
                self.use_up(proved).await?
            }
            None => None,
        };
        let Some(authenticated) = proved else {
            self.count_failure(&snapshot, &name);
            return Err(self.authentication_failed(failing, &credentials.address));
        };
        if !proven {
            self.parts.proven.insert(failing, ());
        }
        Ok(authenticated)
    }

    fn prove(&self, snapshot: &Snapshot, name: &str, credentials: &Credentials) -> Option<Proved> {
        let now = self.parts.clock.now();
        let client = snapshot.client(name);
        let mut assertion = None;
        let proved = match &credentials.proof {
            Proof::Secret(value) => {
                let live: Vec<&[u8]> = client
                    .iter()
                    .flat_map(|client| &client.secrets)
                    .filter(|secret| secret.is_live(now))
                    .map(|secret| secret.hash.as_slice())
                    .collect();
                let key = &self.parts.secret_key;
                secret::verify(key, name, value, &live)
            }
            Proof::Assertion(token) => {
                let keys = client
                    .as_ref()
                    .and_then(|client| client.settings.keys.as_ref());
                let issuer = &self.parts.tokens.issuer;
                let endpoint = format!("{issuer}/oauth2/token");
                let audiences = [issuer.as_str(), endpoint.as_str()];
                assertion = assertion::verify(token, name, keys, &audiences, now);
                assertion.is_some()
            }
            Proof::Certificate => client
                .as_ref()
                .is_some_and(|client| client.settings.certificate.is_some()),
        };
        let client = client.filter(|client| proved && !client.disabled)?;
        // Whatever else proves it: a client with a certificate shows it.
        let certificate = match &client.settings.certificate {
            None => None,
            Some(required) => {
                let time = Duration::from_secs(now.as_second().unsigned_abs());
                if !required.matches(&credentials.chain, UnixTime::since_unix_epoch(time)) {
                    return None;
                }
                credentials
                    .chain
                    .first()
                    .map(|leaf| certificate::thumbprint(leaf))
            }
        };
        Some(Proved {
            authenticated: Authenticated {
                client,
                certificate,
            },
            assertion,
        })
    }

    fn take_request(&self, client: &Client) -> Result<(), Error> {
        let quota = client.settings.limits.in_force().requests();
        self.parts
            .requests
            .take(client.id.clone(), quota)
            .map_err(|limited| {
                self.parts.summaries.rate_limited(&client.id);
                limited.into()
            })
    }

    /// None where the assertion was used before, whichever replica it was.
    async fn use_up(&self, proved: Proved) -> Result<Option<Authenticated>, Error> {
        let Proved {
            authenticated,
            assertion,
        } = proved;
        let Some(assertion) = assertion else {
            return Ok(Some(authenticated));
        };
        let id = authenticated.client.id.as_bytes();
        let name = [b"assertion", id, assertion.jti.as_bytes()];
        let mac = self.parts.secret_key.mac(&name);
        let until = Timestamp::from_second(assertion.refused_from).unwrap_or(Timestamp::MAX);
        let unused = self.parts.store.use_assertion(mac.to_vec(), until).await?;
        Ok(unused.then_some(authenticated))
    }

    fn may_prove(&self, failing: &Failing) -> Result<(), Limited> {
        let attempt = self
            .parts
            .failures
            .attempt(failing.clone(), limits::failures());
        attempt.map(drop)
    }

    /// A client's name only where it is registered: others are a stranger's.
    fn count_failure(&self, snapshot: &Snapshot, name: &str) {
        let known = snapshot.client(name);
        self.parts
            .summaries
            .authentication_failed(known.as_ref().map(|client| client.id.as_str()));
    }

    fn authentication_failed(&self, failing: Failing, address: &str) -> Error {
        let counted = [failing, Failing::Address(address.to_owned())].map(|failing| {
            let attempt = self.parts.failures.attempt(failing, limits::failures());
            attempt.map(Attempt::failed)
        });
        match counted.into_iter().collect::<Result<(), Limited>>() {
            Ok(()) => Error::InvalidClient,
            Err(limited) => Error::Limited(limited),
        }
    }
}
