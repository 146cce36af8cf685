//! What the core promises to the outside: its documented bytes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod protocol_document;
mod stopped_store;
