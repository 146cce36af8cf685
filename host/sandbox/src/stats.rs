//! Counters, for operators.

use std::collections::BTreeMap;

use kinfold_protocol::merge::{MergeFailure, MergeResult};
use kinfold_protocol::message::plugin::{Histogram, MergeCounts, ShadowCounts};

use crate::breaker::Verdict;

/// What became of the merges of one plugin since the start, in one bucket or in all.
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
    /// Inputs of a merge.
    pub inputs_each: Histogram,
    /// Fuel of a merge.
    pub fuel_each: Histogram,
    /// Time of a merge, in microseconds.
    pub micros_each: Histogram,
    /// Bytes of all inputs together.
    pub bytes_in: u64,
    /// Bytes of all results together.
    pub bytes_out: u64,
    /// Bytes by which results were smaller than their inputs.
    pub bytes_discarded: u64,
    /// Values that were looked at before they were written.
    pub validated: u64,
    /// Those that were refused.
    pub invalid: u64,
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
    /// By the name that buckets call the plugin by.
    pub plugins: BTreeMap<String, PluginStats>,
    /// By that name, and by the bucket.
    pub buckets: BTreeMap<String, BTreeMap<String, PluginStats>>,
    /// Candidates that run beside buckets' plugins, by bucket.
    pub shadows: BTreeMap<String, ShadowCounts>,
    /// Merges refused because the queue was full.
    pub overloaded: u64,
    /// Merges refused because there was no plugin of that name.
    pub no_plugin: u64,
    /// Merges that wait in the queue now.
    pub waiting: usize,
}

/// What one merge took and gave.
pub(crate) struct Call<'a> {
    pub(crate) inputs: usize,
    pub(crate) bytes: usize,
    pub(crate) fuel: u64,
    pub(crate) micros: u64,
    pub(crate) result: &'a MergeResult,
}

impl PluginStats {
    pub(crate) fn count(&mut self, call: &Call<'_>) {
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.calls += 1;
        self.inputs += number(call.inputs);
        self.fuel = self.fuel.saturating_add(call.fuel);
        self.inputs_each.note(number(call.inputs));
        match call.result {
            Ok(value) => {
                let (before, after) =
                    (number(call.bytes), number(value.as_ref().map_or(0, bytes::Bytes::len)));
                self.merged += 1;
                self.bytes_in += before;
                self.bytes_out += after;
                self.bytes_discarded += before.saturating_sub(after);
            }
            Err(failure) => *self.failed.entry(reason(failure)).or_default() += 1,
        }
        if verdict(call.result) != Verdict::Nothing {
            self.fuel_each.note(call.fuel);
            self.micros_each.note(call.micros);
        }
    }

    /// Takes in those of another bucket.
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.merged += other.merged;
        for (reason, count) in &other.failed {
            *self.failed.entry(reason).or_default() += count;
        }
        self.inputs += other.inputs;
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.inputs_each.add(&other.inputs_each);
        self.fuel_each.add(&other.fuel_each);
        self.micros_each.add(&other.micros_each);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.bytes_discarded += other.bytes_discarded;
        self.validated += other.validated;
        self.invalid += other.invalid;
        self.compared += other.compared;
        self.mismatches += other.mismatches;
        self.breaker_opened += other.breaker_opened;
        self.breaker_open |= other.breaker_open;
    }
}

impl From<&PluginStats> for MergeCounts {
    fn from(stats: &PluginStats) -> Self {
        Self {
            calls: stats.calls,
            merged: stats.merged,
            failed: stats.failed.iter().map(|(why, n)| ((*why).to_owned(), *n)).collect(),
            inputs: stats.inputs_each.clone(),
            fuel: stats.fuel_each.clone(),
            micros: stats.micros_each.clone(),
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            bytes_discarded: stats.bytes_discarded,
            compared: stats.compared,
            mismatches: stats.mismatches,
            validated: stats.validated,
            invalid: stats.invalid,
            breaker_open: stats.breaker_open,
            breaker_opened: stats.breaker_opened,
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
