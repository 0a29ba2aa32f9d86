//! What verifiers of tokens hold a copy of, and what is published of the keys.

use std::sync::Arc;

use serde_json::json;

use super::{App, revocations::Page, snapshot::Snapshot};
use crate::error::Error;

/// What a verifier holds already.
pub(crate) struct Known {
    pub(crate) version: i64,
    pub(crate) revocation: i64,
}

/// What it is told.
pub(crate) struct Verification {
    pub(crate) version: i64,
    /// None where it holds that version.
    pub(crate) state: Option<Arc<Snapshot>>,
    pub(crate) revocations: Page,
}

impl App {
    pub(crate) async fn verification_state(&self, known: &Known) -> Result<Verification, Error> {
        // Asked of the database: what another replica changed counts from now.
        let snapshot = self.fresh_snapshot().await?;
        let version = snapshot.version;
        Ok(Verification {
            version,
            state: (version != known.version).then_some(snapshot),
            revocations: self.parts.revocations.after(known.revocation),
        })
    }

    /// JWK Set (RFC 7517 section 5), and the algorithms in it.
    pub(crate) async fn jwks(&self) -> Result<(String, Vec<String>), Error> {
        let snapshot = self.snapshot().await?;
        let now = self.parts.clock.now();
        let keys: Vec<_> = snapshot.published(now).map(|key| key.key.jwk()).collect();
        let mut algorithms: Vec<String> = snapshot
            .published(now)
            .map(|key| key.key.algorithm_name().to_owned())
            .collect();
        algorithms.sort();
        algorithms.dedup();
        Ok((json!({ "keys": keys }).to_string(), algorithms))
    }
}
