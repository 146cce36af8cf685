//! Counters, for operators.

use std::collections::BTreeMap;

use kinfold_protocol::merge::{MergeFailure, MergeResult};

use crate::breaker::Verdict;

/// What became of the merges of one plugin since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginStats {
    /// Merges that were asked of it.
    pub calls: u64,
    /// Those that gave a value or a delete.
    pub merged: u64,
    /// Those that failed, by reason: the name of the [`MergeFailure`], in kebab case.
    pub failed: BTreeMap<&'static str, u64>,
    /// Inputs of all merges together.
    pub inputs: u64,
    /// Fuel used by all merges together.
    pub fuel: u64,
    /// Merges that ran twice for comparison.
    pub compared: u64,
    /// Merges whose two runs differed. Anything but 0 is a defect of the host or the machine.
    pub mismatches: u64,
    /// How often the breaker opened.
    pub breaker_opened: u64,
    /// Whether the breaker is refusing calls now.
    pub breaker_open: bool,
}

/// What became of all merges since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergerStats {
    /// By the name of the plugin.
    pub plugins: BTreeMap<String, PluginStats>,
    /// Merges refused because the queue was full.
    pub overloaded: u64,
    /// Merges refused because there was no plugin of that name.
    pub no_plugin: u64,
    /// Merges that wait in the queue now.
    pub waiting: usize,
}

impl PluginStats {
    pub(crate) fn count(&mut self, inputs: usize, fuel: u64, result: &MergeResult) {
        self.calls += 1;
        self.inputs += u64::try_from(inputs).unwrap_or(u64::MAX);
        self.fuel = self.fuel.saturating_add(fuel);
        match result {
            Ok(_) => self.merged += 1,
            Err(failure) => *self.failed.entry(reason(failure)).or_default() += 1,
        }
    }
}

fn reason(failure: &MergeFailure) -> &'static str {
    match failure {
        MergeFailure::NoPlugin(_) => "no-plugin",
        MergeFailure::Overloaded => "overloaded",
        MergeFailure::BreakerOpen => "breaker-open",
        MergeFailure::TooLarge(_) => "too-large",
        MergeFailure::Trap(_) => "trap",
        MergeFailure::OutOfFuel => "out-of-fuel",
        MergeFailure::OutOfMemory => "out-of-memory",
        MergeFailure::BadResult(_) => "bad-result",
        MergeFailure::InvalidSibling { .. } => "invalid-sibling",
        MergeFailure::KeepSiblings(_) => "keep-siblings",
        MergeFailure::Internal(_) => "internal",
    }
}

/// What a result shows of the plugin. `Internal` is a fault: it is what a panic becomes. An invalid sibling is not: it is
/// the client's.
pub(crate) fn verdict(result: &MergeResult) -> Verdict {
    match result {
        Ok(_) | Err(MergeFailure::InvalidSibling { .. } | MergeFailure::KeepSiblings(_)) => {
            Verdict::Healthy
        }
        Err(
            MergeFailure::Trap(_)
            | MergeFailure::OutOfFuel
            | MergeFailure::OutOfMemory
            | MergeFailure::BadResult(_)
            | MergeFailure::Internal(_),
        ) => Verdict::Fault,
        Err(
            MergeFailure::NoPlugin(_)
            | MergeFailure::Overloaded
            | MergeFailure::BreakerOpen
            | MergeFailure::TooLarge(_),
        ) => Verdict::Nothing,
    }
}
