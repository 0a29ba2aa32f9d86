//! What the mesh may ask of the edge.

mod command;
mod witness;

pub(crate) use command::Commands;
pub(crate) use witness::Witnesses;
