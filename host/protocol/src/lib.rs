#![no_std]
#![forbid(unsafe_code)]
//! Kinfold's core.

extern crate alloc;

pub mod causality;
pub mod config;
pub mod id;
pub mod merge;
pub mod quorum;
pub mod replica;
pub mod ring;
pub mod store;
pub mod time;
pub mod tree;
