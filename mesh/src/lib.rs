//! The runtime that the services share: identity and certificates, server and
//! client builders, deadlines, retries, health, telemetry, configuration,
//! storage plumbing, keys and shutdown. It knows nothing of doors or people.

pub mod admin;
pub mod client;
pub mod clock;
pub mod config;
pub mod context;
pub mod crypto;
pub mod custody;
pub mod db;
pub mod error;
pub mod fault;
pub mod gather;
pub mod hardening;
pub mod identity;
pub mod jose;
pub mod keyring;
pub mod limit;
pub mod policy;
pub mod server;
pub mod service;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use clock::{Clock, SystemClock};
pub use identity::{Caller, SpiffeId};
