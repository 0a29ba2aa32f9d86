//! What the mesh may ask of the edge.

mod command;

pub(crate) use command::Commands;
