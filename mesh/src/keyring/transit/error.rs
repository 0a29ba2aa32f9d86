use std::{io, path::PathBuf};

use crate::tls::CredentialError;

#[derive(Debug, thiserror::Error)]
pub enum TransitError {
    #[error("keyring.transit.endpoint must be https://host or, on loopback, http://host")]
    Endpoint,
    #[error("keyring.transit.key and keyring.transit.mount must be names")]
    Name,
    #[error("keyring.transit.token_path {path}: {source}")]
    Token { path: PathBuf, source: io::Error },
    #[error("keyring.transit.token_path {path} holds no token")]
    NoToken { path: PathBuf },
    #[error(
        "keyring.transit.token_path {path} has mode {mode:04o}: others can read it; make it 0600"
    )]
    TokenExposed { path: PathBuf, mode: u32 },
    #[error("keyring.transit.ca_path: {0}")]
    Ca(#[from] CredentialError),
    #[error("the system has no CA to know Transit by: set keyring.transit.ca_path")]
    NoRoots,
    #[error("the HTTP client for Transit cannot be made")]
    Client,
    #[error("Transit does not answer to {operation}: {detail}; see keyring.transit.endpoint")]
    Unreachable {
        operation: &'static str,
        detail: String,
    },
    #[error(
        "Transit refuses to {operation} ({status}): {detail}; \
         see that its key is there and that the token's policy allows it"
    )]
    Refused {
        operation: &'static str,
        status: u16,
        detail: String,
    },
    #[error("Transit's answer to {operation} makes no sense: {detail}")]
    Answer {
        operation: &'static str,
        detail: &'static str,
    },
}
