//! The store from outside: what it promises, and each part of the LSM at work.
#![expect(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

mod compaction;
mod damage;
mod disk_full;
mod events;
mod filter;
mod flush;
mod model;
mod poison;
mod recovery;
mod scrub;
mod support;
