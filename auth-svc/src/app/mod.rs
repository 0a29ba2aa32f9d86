//! The use cases.

mod clients;
mod signing;
mod tokens;
mod verification;

use std::sync::Arc;

use mesh::{Clock, crypto::Key};
pub(crate) use signing::SigningKey;
pub(crate) use tokens::{Evidence, Face, Plate, TokenRequest};

use crate::{
    clients::{Access, Biometric},
    config::TokenConfig,
    store::Store,
};

pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) signer: SigningKey,
    /// Keys the hashes of client secrets.
    pub(crate) secret_key: Key,
    pub(crate) tokens: TokenConfig,
    pub(crate) biometric: Biometric,
    pub(crate) access: Access,
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Clone)]
pub(crate) struct App {
    parts: Arc<Parts>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }
}
