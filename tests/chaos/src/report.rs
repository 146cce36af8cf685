//! What came of a run, for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use sim::checker::{ALL, Violation};
use sim::history::{History, Outcome};

use crate::load::Phase;

/// Faults by kind: carried out, and skipped since this machine can't.
#[derive(Clone, Debug)]
pub struct Tally {
    names: &'static [&'static str],
    kinds: BTreeMap<&'static str, (u32, u32)>,
}

impl Tally {
    /// Nothing is counted yet of kinds with these names.
    #[must_use]
    pub fn new(names: &'static [&'static str]) -> Self {
        Self { names, kinds: BTreeMap::new() }
    }

    /// A fault was carried out, or skipped.
    pub fn count(&mut self, kind: &'static str, done: bool) {
        let (carried_out, skipped) = self.kinds.entry(kind).or_default();
        *if done { carried_out } else { skipped } += 1;
    }

    /// Kinds of which one at least was carried out.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.kinds.values().filter(|(done, _)| *done > 0).count()
    }

    /// Kinds that this machine can't carry out.
    #[must_use]
    pub fn skipped(&self) -> Vec<&'static str> {
        let skipped = self.kinds.iter().filter(|(_, (done, _))| *done == 0);
        skipped.map(|(kind, _)| *kind).collect()
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The faults.
    pub tally: Tally,
    /// What clients asked and were told.
    pub history: History,
    /// How many keys were written.
    pub keys: usize,
    /// Microseconds that acknowledged operations took.
    pub latencies: BTreeMap<Phase, Vec<u64>>,
    /// How long it took.
    pub took: Duration,
    /// How long replicas took to become equal, after each round.
    pub convergence: Vec<Duration>,
    /// How often a node was started again because its store had stopped.
    pub revived: u32,
    /// Calls that ended with an error, by what clients were told: writes and reads.
    pub failed: BTreeMap<String, [usize; 2]>,
    /// The same by the phase in which they ended.
    pub failed_in: BTreeMap<Phase, usize>,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

/// The most violations that are shown.
const MOST_SHOWN: usize = 12;

impl Report {
    /// The 99th percentile of a phase, in microseconds, and of how many operations.
    #[must_use]
    pub fn p99(&self, phase: Phase) -> Option<(u64, usize)> {
        let mut sorted = self.latencies.get(&phase)?.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * 99).div_ceil(100).checked_sub(1)?;
        Some((sorted[at], sorted.len()))
    }

    fn outcomes(&self) -> BTreeMap<&'static str, [usize; 2]> {
        let mut outcomes = BTreeMap::new();
        for op in self.history.ops() {
            let name = match op.outcome {
                Outcome::Acknowledged { .. } | Outcome::Found { .. } => "acknowledged",
                Outcome::Conflict { .. } => "condition not met",
                Outcome::Refused(_) => "refused, nothing changed",
                Outcome::Unknown | Outcome::Open => "unknown",
            };
            outcomes.entry(name).or_insert([0, 0])[usize::from(!op.writes())] += 1;
        }
        outcomes
    }

    /// Operations that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.outcomes().get("acknowledged").map_or(0, |counts| counts.iter().sum())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nfaults of {} kinds:", self.tally.kinds())?;
        for kind in self.tally.names {
            match self.tally.kinds.get(kind) {
                Some((done, 0)) => writeln!(f, "    {kind:<18} {done:>5}")?,
                Some((done, skipped)) => {
                    writeln!(f, "    {kind:<18} {done:>5}, SKIPPED {skipped}: not possible here")?;
                }
                None => writeln!(f, "    {kind:<18}     0")?,
            }
        }
        writeln!(f, "nodes started again since their store had stopped: {}", self.revived)?;
        writeln!(f, "operations:                     writes    reads")?;
        for (name, [writes, reads]) in self.outcomes() {
            writeln!(f, "    {name:<24} {writes:>9} {reads:>8}")?;
        }
        self.failures(f)?;
        writeln!(f, "keys: {}", self.keys)?;
        let convergence: Vec<String> =
            self.convergence.iter().map(|took| format!("{:.0}", took.as_secs_f64())).collect();
        writeln!(f, "seconds until replicas were equal, by round: {}", convergence.join(" "))?;
        self.latency(f)?;
        writeln!(f, "checkers:")?;
        for (name, _) in ALL {
            let found = self.violations.iter().filter(|v| v.checker == name).count();
            let verdict = if found == 0 { "agrees".into() } else { format!("{found} VIOLATIONS") };
            writeln!(f, "    {name:<18} {verdict}")?;
        }
        for violation in self.violations.iter().take(MOST_SHOWN) {
            let text: String = violation.to_string().chars().take(1_500).collect();
            writeln!(f, "  {text}")?;
        }
        if self.violations.len() > MOST_SHOWN {
            writeln!(f, "  and {} more", self.violations.len() - MOST_SHOWN)?;
        }
        write!(f, "took {:.0} s", self.took.as_secs_f64())
    }
}

/// The phases, as people call them.
const PHASES: [(Phase, &str); 4] = [
    (Phase::Healthy, "healthy"),
    (Phase::Leaving, "a node just gone"),
    (Phase::Absent, "a node away"),
    (Phase::Faults, "under faults"),
];

impl Report {
    /// What clients were told where they did not get what they asked for.
    fn failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: usize = self.failed.values().flatten().sum();
        let by_phase: Vec<String> = PHASES
            .iter()
            .map(|(phase, name)| format!("{name} {}", self.failed_in.get(phase).unwrap_or(&0)))
            .collect();
        writeln!(f, "calls that ended with an error: {all} ({})", by_phase.join(", "))?;
        for (told, [writes, reads]) in &self.failed {
            writeln!(f, "    {told:<36} {writes:>9} {reads:>8}")?;
        }
        Ok(())
    }

    fn latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "p99 of acknowledged operations:")?;
        for (phase, name) in PHASES {
            if let Some((p99, count)) = self.p99(phase) {
                writeln!(f, "    {name:<18} {:>8.1} ms, of {count}", p99 as f64 / 1e3)?;
            }
        }
        if let (Some((healthy, _)), Some((absent, _))) =
            (self.p99(Phase::Healthy), self.p99(Phase::Absent))
        {
            let ratio = absent as f64 / healthy.max(1) as f64;
            writeln!(f, "    a node away against healthy: {ratio:.2}")?;
        }
        Ok(())
    }
}
