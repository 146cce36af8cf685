//! What is counted while the loop runs.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::run::Failed;

/// Digits that percentiles keep.
const DIGITS: u8 = 3;

/// Latencies and failures of one run, or of one client's part of it.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Latencies of puts that were answered as asked for, in microseconds.
    pub(crate) puts: Histogram<u64>,
    /// The same of gets.
    pub(crate) gets: Histogram<u64>,
    /// Everything else, by what it ended with.
    pub(crate) errors: BTreeMap<String, u64>,
    /// How long was counted.
    pub(crate) time: Duration,
    /// Processor time of this process meanwhile.
    pub(crate) cpu: Duration,
    /// Processor time that the process went on to spend, after the last answer, on what it had put off.
    pub(crate) afterwards: Duration,
}

impl Default for Measured {
    fn default() -> Self {
        let histogram = || Histogram::new(DIGITS).expect("as many digits as it allows");
        Self {
            puts: histogram(),
            gets: histogram(),
            errors: BTreeMap::new(),
            time: Duration::ZERO,
            cpu: Duration::ZERO,
            afterwards: Duration::ZERO,
        }
    }
}

impl Measured {
    /// Counts one request.
    pub(crate) fn count(&mut self, is_put: bool, took: Duration, outcome: Result<(), Failed>) {
        match outcome {
            Ok(()) => {
                let histogram = if is_put { &mut self.puts } else { &mut self.gets };
                // Not `saturating_record`: that takes what a histogram holds before it grows for the greatest there is.
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                histogram.record(us).expect("histograms grow");
            }
            Err(Failed(code)) => *self.errors.entry(code).or_default() += 1,
        }
    }

    /// Adds what another client counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.puts.add(&other.puts).expect("histograms grow");
        self.gets.add(&other.gets).expect("histograms grow");
        for (code, n) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += n;
        }
    }

    /// Latencies of puts and gets together.
    pub(crate) fn both(&self) -> Histogram<u64> {
        let mut both = self.puts.clone();
        both.add(&self.gets).expect("histograms grow");
        both
    }

    /// Requests that were answered as asked for.
    pub(crate) fn answered(&self) -> u64 {
        self.puts.len() + self.gets.len()
    }

    /// Those, by second.
    pub(crate) fn per_second(&self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.answered() as f64 / self.time.as_secs_f64() }
    }
}

/// Percentiles of one kind of request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latencies {
    count: u64,
    mean_us: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

impl Latencies {
    /// Those of a histogram; `None` if it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean_us: (histogram.mean() * 10.0).round() / 10.0,
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        })
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
            ms(self.p50_us),
            ms(self.p90_us),
            ms(self.p99_us),
            ms(self.p999_us),
            ms(self.max_us)
        )
    }
}

/// Processor time that this process has spent.
pub(crate) fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_request_counts_as_slow_as_it_was() {
        let mut measured = Measured::default();
        for us in [100, 200, 50_000, 3_000_000, 600_000_000] {
            measured.count(true, Duration::from_micros(us), Ok(()));
        }
        let mut all = Measured::default();
        all.add(&measured);
        let found = Latencies::of(&all.puts).unwrap();
        let near = |found: u64, told: u64| found.abs_diff(told) <= told / 1_000;
        assert!(near(found.p50_us, 50_000), "{found}");
        assert!(near(found.max_us, 600_000_000), "{found}");
    }
}
