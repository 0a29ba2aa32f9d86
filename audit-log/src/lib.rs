//! The audit log as anybody can check it: entries in the order of their
//! numbers under a Merkle tree (RFC 6962 section 2.1), its hashes in rows of
//! 256 as C2SP tlog-tiles lays them out, its root signed as C2SP
//! tlog-checkpoint. What is stored, sent and exported is checked by the same
//! code. Pure: no I/O, no clock, and no key but the one that signs.

pub mod checkpoint;
pub mod entry;
pub mod export;
pub mod finding;
pub mod proof;
pub mod tree;
pub mod verify;

pub use checkpoint::{CheckpointError, Head, LogKey, VerifierKey};
pub use entry::{Entry, Kind};
pub use finding::Finding;
pub use tlog_tiles::{Hash, record_hash};
pub use tree::{TileId, Tiles, Tree, TreeError};
pub use verify::{Columns, Report, Row, SealedLink, Verification};
