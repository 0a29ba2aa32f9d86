//! What verifiers of tokens hold a copy of, and what is published of the keys.

use std::sync::Arc;

use serde_json::json;

use super::{App, snapshot::Snapshot};
use crate::error::Error;

impl App {
    /// The state's version, and the state unless the version known is current.
    pub(crate) async fn verification_state(
        &self,
        known: i64,
    ) -> Result<(i64, Option<Arc<Snapshot>>), Error> {
        // Asked of the database: what another replica changed counts from now.
        let snapshot = self.fresh_snapshot().await?;
        let version = snapshot.version;
        Ok((version, (version != known).then_some(snapshot)))
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
