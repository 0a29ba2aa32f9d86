//! Protobuf to domain and back; no rule lives here.

mod client;
mod token;
mod verification;

pub(crate) use client::ClientApi;
pub(crate) use token::TokenApi;
pub(crate) use verification::VerificationApi;
