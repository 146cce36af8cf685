//! What a bench found, for people and for programs.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::thread;

use serde::Serialize;

use super::measure::{Latencies, Measured};
use super::plan::Plan;

/// What `statfs` says of a file system in memory.
const TMPFS: i128 = 0x0102_1994;

/// Whose figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// The same bytes, with nothing done to them.
    Floor,
    /// Kinfold.
    Product,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Floor => "floor",
            Self::Product => "product",
        })
    }
}

/// What a bench found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    version: &'static str,
    cores: usize,
    /// What to know before the figures are believed.
    notes: Vec<String>,
    /// What was done.
    pub(crate) plan: Plan,
    /// What each round found, in their order.
    rounds: Vec<Round>,
    /// The median round's requests a second.
    product: Summary,
    /// The same of the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Summary>,
    /// The product's by the floor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// What one round found.
#[derive(Clone, Debug, Serialize)]
struct Round {
    side: Side,
    seconds: f64,
    per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    put: Option<Latencies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    get: Option<Latencies>,
    errors: std::collections::BTreeMap<String, u64>,
    /// Processor time of the whole process, clients and nodes, by request.
    cpu_us_per_request: f64,
    /// The same of what the process went on to do after the last answer.
    afterwards_us_per_request: f64,
    /// Cores that were busy, on average.
    cores_busy: f64,
}

/// The rounds of one side.
#[derive(Clone, Debug, Default, Serialize)]
struct Summary {
    per_second: f64,
    mb_per_second: f64,
    cpu_us_per_request: f64,
    cores_busy: f64,
    errors: u64,
}

impl Report {
    /// Nothing yet.
    pub(crate) fn new(plan: Plan) -> Self {
        let mut notes = Vec::new();
        if cfg!(debug_assertions) {
            notes.push(
                "this is a debug build: its figures say nothing, take a release build".to_owned(),
            );
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            cores: thread::available_parallelism().map_or(1, usize::from),
            notes,
            plan,
            rounds: Vec::new(),
            product: Summary::default(),
            floor: None,
            ratio: None,
        }
    }

    /// Notes what there is to know about the disk.
    pub(crate) fn look_at(&mut self, folder: &Path) {
        let found = rustix::fs::statfs(folder);
        if found.is_ok_and(|found| i128::from(found.f_type) == TMPFS) {
            let folder = folder.display();
            self.notes.push(format!(
                "{folder} is in memory, where durable means nothing: choose a --dir on a disk"
            ));
        }
    }

    /// Notes what filling the keys met with.
    pub(crate) fn filled(&mut self, side: Side, filled: &Measured) {
        for (code, n) in &filled.errors {
            self.notes.push(format!("{side}: {n} keys were not filled: {code}"));
        }
    }

    /// Takes in a round.
    pub(crate) fn round(&mut self, side: Side, measured: &Measured) {
        let answered = measured.answered().max(1) as f64;
        let micros = |time: std::time::Duration| round(time.as_secs_f64() * 1e6 / answered, 1);
        self.rounds.push(Round {
            side,
            seconds: round(measured.time.as_secs_f64(), 3),
            per_second: round(measured.per_second(), 1),
            put: Latencies::of(&measured.puts),
            get: Latencies::of(&measured.gets),
            errors: measured.errors.clone(),
            cpu_us_per_request: micros(measured.cpu),
            afterwards_us_per_request: micros(measured.afterwards),
            cores_busy: round(
                measured.cpu.as_secs_f64() / measured.time.as_secs_f64().max(1e-9),
                2,
            ),
        });
        let summary = self.summary(side);
        match side {
            Side::Floor => self.floor = Some(summary),
            Side::Product => self.product = summary,
        }
        self.ratio = self
            .floor
            .as_ref()
            .filter(|floor| floor.per_second > 0.0)
            .map(|floor| round(self.product.per_second / floor.per_second, 3));
    }

    /// Did every request end with what was asked for?
    pub(crate) fn is_clean(&self) -> bool {
        self.rounds.iter().all(|round| round.errors.is_empty())
    }

    /// The medians over the rounds of one side.
    fn summary(&self, side: Side) -> Summary {
        let rounds = || self.rounds.iter().filter(|round| round.side == side);
        let of = |figure: fn(&Round) -> f64| median(rounds().map(figure).collect());
        let per_second = of(|round| round.per_second);
        Summary {
            per_second,
            mb_per_second: round(per_second * self.plan.value_bytes as f64 / 1e6, 1),
            cpu_us_per_request: of(|round| round.cpu_us_per_request),
            cores_busy: of(|round| round.cores_busy),
            errors: rounds().flat_map(|round| round.errors.values()).sum(),
        }
    }

    /// Writes it for people.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let plan = &self.plan;
        writeln!(
            out,
            "{} clients, {} puts to {} gets, values of {} bytes, r = {}, w = {}, {} cores",
            plan.clients, plan.puts, plan.gets, plan.value_bytes, plan.r, plan.w, self.cores
        )?;
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        for round in &self.rounds {
            writeln!(
                out,
                "\n{}: {:.0} requests/s; processor: {:.0} us a request, {:.0} us afterwards, {:.2} cores busy",
                round.side,
                round.per_second,
                round.cpu_us_per_request,
                round.afterwards_us_per_request,
                round.cores_busy
            )?;
            for (what, latencies) in [("put", &round.put), ("get", &round.get)] {
                if let Some(latencies) = latencies {
                    writeln!(out, "  {what}  {latencies}")?;
                }
            }
            for (code, n) in &round.errors {
                writeln!(out, "  {n} failed: {code}")?;
            }
        }
        let side = |out: &mut dyn Write, side: Side, summary: &Summary| {
            let Summary { per_second, mb_per_second, .. } = summary;
            writeln!(out, "{side:8}  {per_second:.0} requests/s, {mb_per_second:.1} MB/s (median)")
        };
        writeln!(out)?;
        if let Some(floor) = &self.floor {
            side(out, Side::Floor, floor)?;
        }
        side(out, Side::Product, &self.product)?;
        if let Some(ratio) = self.ratio {
            writeln!(out, "ratio     {ratio:.2}")?;
        }
        Ok(())
    }
}

fn round(figure: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (figure * factor).round() / factor
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures.len().saturating_sub(1) / 2, figures.len() / 2);
    match (figures.get(low), figures.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}
