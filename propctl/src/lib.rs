//! What other programs use of propctl: the development CA.

pub mod dev;
