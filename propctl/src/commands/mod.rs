//! One file a noun: its verbs, what it asks of the services, how it is shown.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod client;
pub(crate) mod credential;
pub(crate) mod dev;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod erasure;
pub(crate) mod event;
pub(crate) mod grant;
pub(crate) mod holding;
pub(crate) mod keys;
pub(crate) mod model;
pub(crate) mod opening;
pub(crate) mod partner;
pub(crate) mod payment;
pub(crate) mod resident;
pub(crate) mod signing_key;
pub(crate) mod site;
pub(crate) mod status;
pub(crate) mod vehicle;
pub(crate) mod webhook_secret;
