//! `kinfold plugin bench`: what a merge costs.

use std::array;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use kinfold_sandbox::{Engine, Limits, MergeRequest, Plugin};
use serde_json::json;

use crate::bench::conflict::request;
use crate::command::plugin::native::{self, agrees, native};
use crate::command::plugin::subject::Subject;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

const SIZES: [u32; 2] = [100, 10_000];
const SIBLINGS: u64 = 3;
/// Each figure is measured in so many turns.
const TURNS: usize = 9;
/// Merges between two looks at the clock.
const ROUND: u32 = 20;

/// Measure what a merge costs
///
/// Merges three siblings of 100 bytes and three of 10 000, each in a fresh instance, on one thread and on two. The siblings are the plugin's
/// own samples, or lines of text for one that makes none. Beside it stands what the same function costs as code of this program, if it
/// is one of the shipped plugins, on one thread and on two: what two threads get of this machine without a sandbox.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin bench
  kinfold plugin bench last-write-wins --seconds 5 --json

Exit code 1: the plugin refused the siblings.")]
pub(crate) struct Bench {
    #[command(flatten)]
    subject: Subject,
    /// Seconds for each figure
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// One line of the result.
struct Cost {
    bytes: u32,
    fuel: u64,
    micros: f64,
    one: f64,
    two: f64,
    /// The same function without a sandbox, on one thread and on two.
    native: Option<(f64, f64)>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let component = self.subject.component()?;
        let engine = Engine::new(Limits::default(), 4)?;
        let start = Instant::now();
        let plugin = Plugin::load(&engine, &component)?;
        let loading = start.elapsed();
        let lasting = Duration::from_secs(self.seconds) / TURNS as u32;
        let costs = SIZES.map(|bytes| {
            let request = request(&plugin, bytes, self.subject.config());
            let outcome = plugin.merge(&request);
            let twin = native(&plugin.manifest().name)
                .filter(|&native| agrees(native, &request, &outcome.result));
            outcome.result.map(|_| {
                let (one, two) = one_and_two(|| rate(&plugin, &request, lasting));
                let native = twin.map(|twin| one_and_two(|| native::rate(twin, &request, lasting)));
                Cost { bytes, fuel: outcome.fuel, micros: 1e6 / one, one, two, native }
            })
        });
        let costs = costs.into_iter().collect::<Result<Vec<_>, _>>()?;
        if self.json {
            let cost = |cost: &Cost| {
                json!({
                    "bytes": cost.bytes, "siblings": SIBLINGS, "fuel": cost.fuel, "microseconds": cost.micros,
                    "per_second_one_thread": cost.one, "per_second_two_threads": cost.two,
                    "native_microseconds": cost.native.map(|(one, _)| 1e6 / one),
                    "native_per_second_two_threads": cost.native.map(|(_, two)| two),
                })
            };
            output::print_json(&json!({
                "plugin": plugin.manifest().name,
                "blake3": plugin.hash().to_hex().to_string(),
                "load_milliseconds": loading.as_secs_f64() * 1e3,
                "merges": costs.iter().map(cost).collect::<Vec<_>>(),
            }))?;
            return Ok(End::Done);
        }
        let mut table = Table::new([
            "SIBLINGS",
            "FUEL",
            "A MERGE",
            "NATIVE",
            "ONE THREAD",
            "TWO THREADS",
            "TWO OF ONE",
            "NATIVE TWO OF ONE",
        ]);
        for Cost { bytes, fuel, micros, one, two, native } in costs {
            table.row([
                format!("{SIBLINGS} x {bytes} B"),
                fuel.to_string(),
                format!("{micros:.1} us"),
                native.map_or("-".into(), |(one, _)| format!("{:.2} us", 1e6 / one)),
                format!("{one:.0}/s"),
                format!("{two:.0}/s"),
                format!("{:.2}", two / one),
                native.map_or("-".into(), |(one, two)| format!("{:.2}", two / one)),
            ]);
        }
        output::print(|out| {
            let manifest = plugin.manifest();
            writeln!(out, "{} {}: loads in {loading:.1?}", manifest.name, manifest.version)?;
            table.write(out)
        })?;
        Ok(End::Done)
    }
}

/// A rate on one thread alone, and the sum of it on two at once: medians of short turns, so that whatever else the machine does hits
/// both. Each thread is a new one: the allocator serves one that has a past at another speed.
fn one_and_two(rate: impl Fn() -> f64 + Sync) -> (f64, f64) {
    let at_once = |threads: usize| {
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(&rate)).collect();
            all.into_iter().map(|thread| thread.join().expect("measuring doesn't panic")).sum()
        })
    };
    let turns: [(f64, f64); TURNS] = array::from_fn(|_| (at_once(1), at_once(2)));
    (median(turns.map(|(one, _)| one)), median(turns.map(|(_, two)| two)))
}

fn median(mut rates: [f64; TURNS]) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[TURNS / 2]
}

/// Merges a second, on this thread.
fn rate(plugin: &Plugin, request: &MergeRequest, lasting: Duration) -> f64 {
    let start = Instant::now();
    let mut merges = 0u32;
    while start.elapsed() < lasting {
        for _ in 0..ROUND {
            black_box(plugin.merge(request));
        }
        merges += ROUND;
    }
    f64::from(merges) / start.elapsed().as_secs_f64()
}
