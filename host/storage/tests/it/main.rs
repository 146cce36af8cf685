//! The store from outside: what it promises, and each part of the LSM at work.

mod compaction;
mod damage;
mod disk_full;
mod events;
mod filter;
mod flush;
mod model;
mod poison;
mod recovery;
mod support;
