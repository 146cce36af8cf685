//! Nodes in this process, on loopback, with certificates and data directories of their own.

#![allow(clippy::unwrap_used, reason = "a panic is how a test says that it failed")]

mod frames;
mod identity;
mod life;
mod metrics;
mod plugins;
mod site;
mod traces;
mod trio;
