//! The whole mesh over real mTLS and HTTPS.

mod bad_input;
mod flows;
mod matrix;
mod outages;
mod personal_data;
mod processes;
mod refusals;
mod rotation;
mod startup;
mod telemetry;
mod transport;
mod webhooks;
