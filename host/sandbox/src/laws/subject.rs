//! The plugin under test, merging as the host does, and what that took.

use std::time::Instant;

use bytes::Bytes;
use kinfold_protocol::merge::{MergeFailure, MergeInput, MergeRequest, canonical};

use crate::breaker;
use crate::engine::Engine;
use crate::laws::poison::Poison;
use crate::laws::report::Used;
use crate::outcome::MergeOutcome;
use crate::plugin::Plugin;
use crate::stats::verdict;

/// What merging siblings gave: a value with its time, to be merged further, or why there is none.
pub(super) type Folded = Result<MergeInput, MergeFailure>;

/// A plugin and the meters on it.
pub(super) struct Subject<'a> {
    plugin: &'a Plugin,
    poison: Poison,
    config: Bytes,
    /// Merges that were run.
    pub(super) merges: u64,
    /// Those that gave a value or a delete.
    pub(super) merged: u64,
    pub(super) used: Used,
}

impl<'a> Subject<'a> {
    pub(super) fn new(engine: &Engine, plugin: &'a Plugin, config: Bytes) -> Self {
        let limits = engine.limits();
        Self {
            plugin,
            poison: Poison::new(engine),
            config,
            merges: 0,
            merged: 0,
            used: Used::none(limits.memory),
        }
    }

    /// A value of the plugin's own making, if it makes any.
    pub(super) fn sample(&self, seed: u64, size: u32) -> Option<Result<Bytes, MergeFailure>> {
        self.plugin.sample(seed, size)
    }

    /// Whether the plugin says that two values mean the same, if it says anything.
    pub(super) fn equivalent(&self, a: &Bytes, b: &Bytes) -> Option<bool> {
        self.plugin.equivalent(a, b)?.ok()
    }

    /// Merges as the host does: sorted, without copies, and not at all where one value is left.
    pub(super) fn fold(&mut self, siblings: &[MergeInput]) -> Folded {
        let time = siblings.iter().map(|sibling| sibling.time).max().unwrap_or_default();
        let value = self.run(&canonical(siblings.to_vec())).result?;
        Ok(MergeInput { value, time })
    }

    /// One call in a fresh instance, with inputs as they are.
    pub(super) fn run(&mut self, inputs: &[MergeInput]) -> MergeOutcome {
        let request = MergeRequest {
            plugin: self.plugin.manifest().name.clone(),
            bucket: "check".into(),
            key: Bytes::from_static(b"key"),
            config: self.config.clone(),
            inputs: inputs.to_vec(),
        };
        let start = Instant::now();
        let outcome = self.plugin.merge(&request);
        if inputs.len() > 1 {
            self.merges += 1;
            self.merged += u64::from(outcome.result.is_ok());
            let allowed = self.plugin.limits().admit(&request).map_or(0, |budget| budget.fuel);
            self.used.note(&outcome, allowed, start.elapsed());
        }
        outcome
    }

    /// Puts garbage where the next instance will be.
    pub(super) fn poison(&self) {
        self.poison.spread();
    }
}

/// Whether a failure is the plugin's own: it trapped, passed a limit, or said that it is broken.
pub(super) fn is_fault(failure: &MergeFailure) -> bool {
    verdict(&Err(failure.clone())) == breaker::Verdict::Fault
}
