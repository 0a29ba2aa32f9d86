//! A whole mesh on one machine for development, demonstration and tests:
//! certificates, configuration, processes, and an estate to live in it.

pub mod estate;
pub mod layout;
pub mod operator;
pub mod processes;
pub mod sim;

mod error;

pub use error::Error;
