//! What nodes and clients say to each other, and its bytes.
//!
//! `docs/PROTOCOL.md` describes the same for other languages.

pub mod ballot;
pub mod client;
pub mod cluster;
pub mod exchange;
pub mod explain;
pub mod frame;
pub mod listing;
pub mod peer;
pub mod plugin;
pub mod vote;
