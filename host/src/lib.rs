//! Kinfold's storage node: the shell around the pure core.
//!
//! The core decides; this crate carries out. Everything that has a clock, a socket, a file or a thread is here, and
//! bytes from outside are parsed here once, within limits, before the core sees them.

pub mod certificate;
pub mod config;
pub mod data_dir;
pub mod tls;
