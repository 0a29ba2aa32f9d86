//! What verifiers of tokens hold a copy of.

use super::App;
use crate::{domain::client::Client, error::Error};

impl App {
    /// The state's version, and every client unless the version known is current.
    pub(crate) async fn verification_state(
        &self,
        known: i64,
    ) -> Result<(i64, Option<Vec<Client>>), Error> {
        let version = self.parts.store.version().await?;
        if version == known {
            return Ok((version, None));
        }
        // Read after the version: what is newer than it comes again, nothing is missed.
        let clients = self.parts.store.list_clients(None, u64::MAX).await?;
        Ok((version, Some(clients)))
    }

    pub(crate) fn jwks(&self) -> String {
        self.parts.signer.jwks()
    }

    /// `kid` and public point of each key that tokens may be signed with.
    pub(crate) fn verification_keys(&self) -> Vec<(String, Vec<u8>)> {
        let signer = &self.parts.signer;
        vec![(signer.kid().to_owned(), signer.public().to_vec())]
    }
}
