//! Pure: clients, scopes, and what a token says.

pub(crate) mod client;
pub(crate) mod scope;
pub(crate) mod secret;
pub(crate) mod token;
