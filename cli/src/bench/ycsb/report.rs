//! What the workloads came to, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::mix::{Letter, Operation};
use super::plot;
use super::run::{Measured, Plan};
use crate::bench::measure::Latencies;

/// What the workloads came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: &'static str,
    cores: usize,
    /// What to know before the figures are believed.
    notes: Vec<String>,
    plan: Plan,
    workloads: Vec<Workload>,
}

/// What one of them came to.
#[derive(Debug, Serialize)]
pub(super) struct Workload {
    pub(super) workload: Letter,
    seconds: f64,
    pub(super) per_second: f64,
    operations: BTreeMap<&'static str, Latencies>,
    errors: BTreeMap<String, u64>,
    #[serde(skip)]
    pub(super) latencies: BTreeMap<Operation, Histogram<u64>>,
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        let debug = cfg!(debug_assertions).then(|| {
            "this is a debug build: its figures say nothing, take a release build".to_owned()
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            notes: debug.into_iter().collect(),
            plan: plan.clone(),
            workloads: Vec::new(),
        }
    }

    pub(super) fn loaded(&mut self, load: &Measured) {
        let missed = load.errors.iter();
        self.notes.extend(missed.map(|(word, n)| format!("{n} records were not loaded: {word}")));
    }

    pub(super) fn took(&mut self, workload: Letter, measured: Measured) {
        let Measured { latencies, errors, time } = measured;
        let answered: u64 = latencies.values().map(Histogram::len).sum();
        let seconds = time.as_secs_f64();
        let figures = latencies.iter();
        let figures = figures.filter_map(|(o, h)| Some((o.name(), Latencies::of(h)?)));
        self.workloads.push(Workload {
            workload,
            seconds: (seconds * 1e3).round() / 1e3,
            per_second: if seconds > 0.0 { (answered as f64 / seconds).round() } else { 0.0 },
            operations: figures.collect(),
            errors,
            latencies,
        });
    }

    /// Did every operation end with what was asked for?
    pub(crate) fn is_clean(&self) -> bool {
        self.workloads.iter().all(|workload| workload.errors.is_empty())
    }

    /// A plot of the percentiles.
    pub(crate) fn svg(&self) -> String {
        plot::svg(&self.workloads)
    }

    /// Writes it for people.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let plan = &self.plan;
        writeln!(
            out,
            "{} clients, {} records of {} bytes, r = {}, w = {}, merged by {}, {} cores",
            plan.clients, plan.records, plan.value_bytes, plan.r, plan.w, plan.plugin, self.cores
        )?;
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        for workload in &self.workloads {
            let letter = format!("{:?}", workload.workload).to_lowercase();
            writeln!(out, "\nworkload {letter}: {:.0} operations/s", workload.per_second)?;
            for (operation, latencies) in &workload.operations {
                writeln!(out, "  {operation:17}  {latencies}")?;
            }
            for (word, n) in &workload.errors {
                writeln!(out, "  {n} failed: {word}")?;
            }
        }
        Ok(())
    }
}
