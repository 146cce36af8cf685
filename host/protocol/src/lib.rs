#![no_std]
#![forbid(unsafe_code)]
//! Kinfold's core.

extern crate alloc;

pub mod catalogue;
pub mod causality;
pub mod cbor;
pub mod config;
pub mod encoding;
pub mod id;
pub mod io;
pub mod layout;
pub mod life;
pub mod merge;
pub mod message;
pub mod node;
pub mod quorum;
pub mod replica;
pub mod ring;
pub mod store;
pub mod time;
pub mod tree;
