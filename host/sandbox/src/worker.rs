//! What a merge thread does with one job, from the name of the plugin to the callback.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use kinfold_protocol::merge::{MergeFailure, MergeRequest, MergeResult};

use crate::contract::{Level, LogLine};
use crate::outcome::MergeOutcome;
use crate::queue::{Job, Queue};
use crate::registry::{Call, Entry, Registry};

/// What all merge threads share.
pub(crate) struct Workshop {
    pub(crate) queue: Queue,
    pub(crate) registry: Registry,
    /// One merge in so many runs twice.
    pub(crate) compare_every: u64,
    pub(crate) merges: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) no_plugin: AtomicU64,
}

impl Workshop {
    /// Works until the queue is closed.
    pub(crate) fn work(&self) {
        while let Some(Job { request, done }) = self.queue.pop() {
            let merged = catch_unwind(AssertUnwindSafe(|| self.merge(&request)));
            let result = merged.unwrap_or_else(|_| {
                tracing::error!(plugin = request.plugin, "the sandbox panicked in a merge");
                Err(MergeFailure::Internal("the sandbox panicked".into()))
            });
            if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
                tracing::error!(plugin = request.plugin, "taking the result of a merge panicked");
            }
        }
    }

    fn merge(&self, request: &MergeRequest) -> MergeResult {
        let Some(entry) = self.registry.find(&request.plugin) else {
            self.no_plugin.fetch_add(1, Ordering::Relaxed);
            return Err(MergeFailure::NoPlugin(request.plugin.clone()));
        };
        let inputs = request.inputs.len();
        let Some(pass) = entry.admit(Instant::now()) else {
            let result = Err(MergeFailure::BreakerOpen);
            entry.refused(&Call { inputs, fuel: 0, result: &result });
            return result;
        };
        // The pass has to come back whatever happens, or a trial would never end.
        let run = catch_unwind(AssertUnwindSafe(|| self.run(&entry, request)));
        let (result, fuel) = run.unwrap_or_else(|_| {
            tracing::error!(plugin = request.plugin, "the sandbox panicked in a merge");
            (Err(MergeFailure::Internal("the sandbox panicked".into())), 0)
        });
        let call = Call { inputs, fuel, result: &result };
        if entry.settle(pass, &call, Instant::now()) {
            tracing::warn!(
                plugin = request.plugin,
                "the plugin failed repeatedly: it is not called for a while"
            );
        }
        result
    }

    fn run(&self, entry: &Entry, request: &MergeRequest) -> (MergeResult, u64) {
        let outcome = entry.plugin.merge(request);
        pass_on(&request.plugin, &outcome.log);
        let number = self.merges.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(self.compare_every.max(1)) {
            return (outcome.result, outcome.fuel);
        }
        let again = entry.plugin.merge(request);
        let equal = agree(&outcome, &again);
        entry.compared(equal);
        if equal {
            return (outcome.result, outcome.fuel);
        }
        tracing::error!(
            plugin = request.plugin,
            bucket = request.bucket,
            hash = %entry.plugin.hash(),
            "two runs of one merge differ: this node's hardware or its sandbox is defective"
        );
        let failure = MergeFailure::BadResult("two runs of the merge differed".into());
        (Err(failure), outcome.fuel)
    }
}

/// Whether two runs of one merge could have been the same one. A run that found no free instance says nothing.
fn agree(first: &MergeOutcome, second: &MergeOutcome) -> bool {
    let ran = |outcome: &MergeOutcome| outcome.result != Err(MergeFailure::Overloaded);
    first == second || !ran(first) || !ran(second)
}

fn pass_on(plugin: &str, log: &[LogLine]) {
    for LogLine { level, message } in log {
        match level {
            Level::Debug => tracing::debug!(target: "kinfold::plugin", plugin, message),
            Level::Info => tracing::info!(target: "kinfold::plugin", plugin, message),
            Level::Warn => tracing::warn!(target: "kinfold::plugin", plugin, message),
            Level::Error => tracing::error!(target: "kinfold::plugin", plugin, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(result: MergeResult, fuel: u64) -> MergeOutcome {
        MergeOutcome { result, fuel, memory: 0, log: Vec::new() }
    }

    #[test]
    fn runs_agree_in_result_and_fuel() {
        let value = |byte: u8| Ok(Some(vec![byte].into()));
        assert!(agree(&outcome(value(1), 5), &outcome(value(1), 5)));
        assert!(!agree(&outcome(value(1), 5), &outcome(value(2), 5)));
        assert!(!agree(&outcome(value(1), 5), &outcome(value(1), 6)));
        let overloaded = outcome(Err(MergeFailure::Overloaded), 0);
        assert!(agree(&outcome(value(1), 5), &overloaded));
    }
}
