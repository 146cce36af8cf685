#![no_std]
#![forbid(unsafe_code)]
//! Kinfold's core.

extern crate alloc;

pub mod merge;
pub mod time;
