//! The whole mesh over real mTLS and HTTPS.

mod bad_input;
mod flows;
mod matrix;
mod outages;
mod personal_data;
mod refusals;
mod startup;
mod transport;
mod webhooks;
