//! Where plugins run: the only crate that knows wasmtime.
//!
//! ```text
//! Merger   quick merges here, others on threads behind a bounded queue; plugins by name; a breaker and counters for each
//! Plugin   one loaded component: what it says of itself, and how to run one merge
//! Engine   the compiler and the rules that hold for every component, the same on every node; a bay for each processor
//! laws     tests a component before anyone relies on it
//! ```
//!
//! What must hold:
//!
//! - A component has no power: it can import a write-only log and nothing else. It is refused at load otherwise.
//! - The same request gives the same result and uses the same fuel, on every node and every time. So every merge gets a
//!   fresh instance, and nothing in the engine depends on the time or the machine.
//! - Every merge ends, within [`Limits`]: fuel bounds its work, and its memory, stack, inputs and result are bounded.
//! - However a merge fails, it becomes a [`MergeFailure`] and nothing else: no panic, no
//!   lost callback, no thread that hangs.
//! - Compiled code is taken from a file only if this node wrote it and not a bit of it has changed (`compiled.rs`, which has the one
//!   `unsafe` of this crate).

mod bays;
mod breaker;
mod builtin;
mod compiled;
mod contract;
mod engine;
mod failures;
pub mod laws;
mod limits;
mod load;
mod log_ring;
mod manifest;
mod merger;
mod meter;
mod outcome;
mod plugin;
mod queue;
mod registry;
mod samples;
mod shadow;
mod stats;
mod worker;

pub use breaker::BreakerConfig;
pub use builtin::BUILT_IN;
pub use contract::{Level, LogLine};
pub use engine::{Engine, EngineError};
pub use limits::Limits;
pub use load::LoadError;
pub use manifest::{Contract, MANIFEST_SECTION, Manifest, ManifestError, Tombstones};
pub use merger::{Merger, MergerConfig, Refused};
pub use outcome::MergeOutcome;
pub use plugin::Plugin;
pub use stats::{MergerStats, PluginStats};

pub use kinfold_protocol::merge::{
    MergeFailure, MergeInput, MergeRequest, MergeResult, ValidateRequest, Validity, canonical,
};
pub use kinfold_protocol::time::Timestamp;
