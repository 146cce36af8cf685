//! What the core promises to the outside: its documented bytes, and that it does not turn in circles.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod founded;
mod protocol_document;
mod stopped_store;
