//! What a merge thread does with one job, from the name of the plugin to the callback.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use kinfold_protocol::causality::Digest;
use kinfold_protocol::merge::{MergeFailure, MergeRequest, MergeResult, ValidateRequest, Validity};

use crate::breaker::Verdict;
use crate::contract::{Level, LogLine};
use crate::failures::Failures;
use crate::log_ring::{LogRing, worth_a_line};
use crate::outcome::MergeOutcome;
use crate::queue::{Job, Queue};
use crate::registry::{Entry, Registry};
use crate::samples::Samples;
use crate::shadow::Shadows;
use crate::stats::{Call, verdict};

/// The inputs of one merge in so many are kept as samples.
const SAMPLE_EVERY: u64 = 8;

/// A merge is not for a thread that others wait for.
struct Slow;

/// What all merge threads share.
pub(crate) struct Workshop {
    pub(crate) queue: Queue,
    pub(crate) registry: Registry,
    pub(crate) shadows: Shadows,
    pub(crate) logs: LogRing,
    pub(crate) samples: Samples,
    pub(crate) failures: Failures,
    /// One merge in so many runs twice.
    pub(crate) compare_every: u64,
    /// Threads that are not ours and merge now.
    pub(crate) visitors: AtomicUsize,
    pub(crate) merges: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) no_plugin: AtomicU64,
}

impl Workshop {
    /// Works until the queue is closed.
    pub(crate) fn work(&self) {
        while let Some(job) = self.queue.pop() {
            match job {
                Job::Merge { request, done } => {
                    let result = self.merge_whole(&request);
                    self.tell_and_shadow(request, result, done);
                }
                Job::Validate { request, done } => {
                    let validity = guarded(&request.plugin, || self.validate(&request))
                        .unwrap_or_else(Validity::Unknown);
                    tell(&request.plugin, done, validity);
                }
                Job::Shadow { candidate, request, result } => {
                    let plugin = request.plugin.clone();
                    let other = MergeRequest { plugin: candidate.clone(), ..request.clone() };
                    let other = self.merge_whole(&other);
                    let request = MergeRequest { plugin, ..request };
                    self.shadows.compare(&candidate, &request, &result, &other);
                }
            }
        }
    }

    /// Merges on this thread, which others wait for, if that is quick, and tells the result; otherwise gives the request back.
    pub(crate) fn merge_quickly<D>(
        &self,
        request: MergeRequest,
        done: D,
    ) -> Option<(MergeRequest, D)>
    where
        D: FnOnce(MergeResult) + Send,
    {
        let quick = |entry: &Entry| entry.merge_quickly(&request).ok_or(Slow);
        let merged = guarded(&request.plugin, || self.merge(&request, quick));
        let result = match merged {
            Ok(Err(Slow)) => return Some((request, done)),
            Ok(Ok(result)) => result,
            Err(failure) => Err(failure),
        };
        self.tell_and_shadow(request, result, done);
        None
    }

    fn merge_whole(&self, request: &MergeRequest) -> MergeResult {
        guarded(&request.plugin, || {
            let whole = |entry: &Entry| Ok::<_, Infallible>(entry.plugin.merge(request));
            let Ok(result) = self.merge(request, whole);
            result
        })
        .unwrap_or_else(Err)
    }

    fn tell_and_shadow(
        &self,
        request: MergeRequest,
        result: MergeResult,
        done: impl FnOnce(MergeResult),
    ) {
        let candidate = self.shadows.candidate(&request.bucket);
        let for_candidate = candidate.is_some().then(|| result.clone());
        tell(&request.plugin, done, result);
        // The answer is out: nothing below can change it.
        if let (Some(candidate), Some(result)) = (candidate, for_candidate) {
            let bucket = request.bucket.clone();
            if !self.queue.push_idly(Job::Shadow { candidate, request, result }) {
                self.shadows.skipped(&bucket);
            }
        }
    }

    /// Merges by way of `run`, which may leave it: then nothing was done, and nothing is counted.
    fn merge<S>(
        &self,
        request: &MergeRequest,
        run: impl Fn(&Entry) -> Result<MergeOutcome, S>,
    ) -> Result<MergeResult, S> {
        let Some(entry) = self.registry.find(&request.plugin) else {
            self.no_plugin.fetch_add(1, Ordering::Relaxed);
            return Ok(Err(MergeFailure::NoPlugin(request.plugin.clone())));
        };
        let values = request.inputs.iter().filter_map(|input| input.value.as_ref());
        let (inputs, bytes) = (request.inputs.len(), values.map(bytes::Bytes::len).sum());
        let Some(pass) = entry.admit(&request.bucket, Instant::now()) else {
            let result = Err(MergeFailure::BreakerOpen);
            let call = Call { inputs, bytes, fuel: 0, micros: 0, result: &result };
            entry.refused(&request.bucket, &call);
            return Ok(result);
        };
        let start = Instant::now();
        // The pass has to come back whatever happens, or a trial would never end.
        let run = guarded(&request.plugin, || self.run(&entry, request, run));
        let (result, fuel) = match run {
            Ok(Ok(ran)) => ran,
            Ok(Err(left)) => {
                entry.give_back(&request.bucket, pass, Instant::now());
                return Err(left);
            }
            Err(failure) => (Err(failure), 0),
        };
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Err(failure) = &result
            && verdict(&result) == Verdict::Fault
        {
            self.failures.keep(Digest(*entry.plugin.hash().as_bytes()), request, failure);
        }
        let call = Call { inputs, bytes, fuel, micros, result: &result };
        if entry.settle(&request.bucket, pass, &call, Instant::now()) {
            opened(&request.plugin, &request.bucket);
        }
        Ok(result)
    }

    fn validate(&self, request: &ValidateRequest) -> Validity {
        let Some(entry) = self.registry.find(&request.plugin) else {
            return Validity::Unknown(MergeFailure::NoPlugin(request.plugin.clone()));
        };
        let Some(pass) = entry.admit(&request.bucket, Instant::now()) else {
            return Validity::Unknown(MergeFailure::BreakerOpen);
        };
        let run = guarded(&request.plugin, || {
            let (validity, log) = entry.plugin.validate(request);
            pass_on(&request.plugin, &log);
            self.logs.note(&request.plugin, &request.bucket, &log, None);
            validity
        });
        let validity = run.unwrap_or_else(Validity::Unknown);
        let (judged, invalid) = match &validity {
            Validity::Valid => (Verdict::Healthy, false),
            Validity::Invalid(_) => (Verdict::Healthy, true),
            Validity::Unknown(failure) => (verdict(&Err(failure.clone())), false),
        };
        if entry.settle_validation(&request.bucket, pass, judged, invalid, Instant::now()) {
            opened(&request.plugin, &request.bucket);
        }
        validity
    }

    fn run<S>(
        &self,
        entry: &Entry,
        request: &MergeRequest,
        run: impl Fn(&Entry) -> Result<MergeOutcome, S>,
    ) -> Result<(MergeResult, u64), S> {
        let outcome = run(entry)?;
        pass_on(&request.plugin, &outcome.log);
        let failure = worth_a_line(&outcome.result);
        self.logs.note(&request.plugin, &request.bucket, &outcome.log, failure);
        let number = self.merges.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(SAMPLE_EVERY) {
            self.samples.keep(request);
        }
        if !number.is_multiple_of(self.compare_every.max(1)) {
            return Ok((outcome.result, outcome.fuel));
        }
        let again = run(entry)?;
        let equal = agree(&outcome, &again);
        entry.compared(&request.bucket, equal);
        if equal {
            return Ok((outcome.result, outcome.fuel));
        }
        tracing::error!(
            plugin = request.plugin,
            bucket = request.bucket,
            hash = %entry.plugin.hash(),
            "two runs of one merge differ: this node's hardware or its sandbox is defective"
        );
        let failure = MergeFailure::BadResult("two runs of the merge differed".into());
        Ok((Err(failure), outcome.fuel))
    }
}

/// Calls something that runs a plugin; a panic of the sandbox becomes a failure.
fn guarded<T>(plugin: &str, call: impl FnOnce() -> T) -> Result<T, MergeFailure> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| {
        tracing::error!(plugin, "the sandbox panicked in a call of a plugin");
        MergeFailure::Internal("the sandbox panicked".into())
    })
}

/// Hands a result to whoever waits for it; a panic there takes no thread with it.
fn tell<T>(plugin: &str, done: impl FnOnce(T), result: T) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!(plugin, "taking the result of a plugin panicked");
    }
}

fn opened(plugin: &str, bucket: &str) {
    tracing::warn!(plugin, bucket, "the plugin failed repeatedly: it is not called for a while");
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
