//! Pure: clients, how they prove themselves, scopes, and what a token says.

pub(crate) mod assertion;
pub(crate) mod audit;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod key_set;
pub(crate) mod limits;
pub(crate) mod scope;
pub(crate) mod secret;
pub(crate) mod signing_key;
pub(crate) mod token;
pub(crate) mod webhook_secret;
