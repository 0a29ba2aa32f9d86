//! Mutual TLS between services: certificates that reload, and peers verified
//! by SPIFFE id in place of a host name.

mod credentials;
mod deny_list;
mod verifier;

pub use credentials::{CredentialError, Credentials, read_certificates, read_private_key};
