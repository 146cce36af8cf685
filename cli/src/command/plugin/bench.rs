//! `kinfold plugin bench`: what a merge costs.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use kinfold_sandbox::{Engine, Limits, MergeInput, MergeRequest, Plugin, Timestamp, canonical};
use serde_json::json;

use crate::command::plugin::subject::Subject;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

const SIZES: [u32; 2] = [100, 10_000];
const SIBLINGS: u64 = 3;
/// Merges between two looks at the clock.
const ROUND: u32 = 20;

/// Measure what a merge costs
///
/// Merges three siblings of 100 bytes and three of 10 000, each in a fresh instance, on one thread and on two. The siblings are the plugin's
/// own samples, or lines of text for one that makes none.
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
}

impl Bench {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let component = self.subject.component()?;
        let engine = Engine::new(Limits::default(), 4)?;
        let start = Instant::now();
        let plugin = Plugin::load(&engine, &component)?;
        let loading = start.elapsed();
        let lasting = Duration::from_secs(self.seconds);
        let costs = SIZES.map(|bytes| {
            let request = request(&plugin, bytes, self.subject.config());
            let outcome = plugin.merge(&request);
            outcome.result.map(|_| {
                let one = rate(&plugin, &request, lasting);
                let two = thread::scope(|scope| {
                    let both = [(); 2].map(|()| scope.spawn(|| rate(&plugin, &request, lasting)));
                    both.map(|thread| thread.join().expect("measuring doesn't panic")).iter().sum()
                });
                Cost { bytes, fuel: outcome.fuel, micros: 1e6 / one, one, two }
            })
        });
        let costs = costs.into_iter().collect::<Result<Vec<_>, _>>()?;
        if self.json {
            let cost = |cost: &Cost| {
                json!({
                    "bytes": cost.bytes, "siblings": SIBLINGS, "fuel": cost.fuel, "microseconds": cost.micros,
                    "per_second_one_thread": cost.one, "per_second_two_threads": cost.two,
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
        let mut table =
            Table::new(["SIBLINGS", "FUEL", "A MERGE", "ONE THREAD", "TWO THREADS", "TWO OF ONE"]);
        for Cost { bytes, fuel, micros, one, two } in costs {
            table.row([
                format!("{SIBLINGS} x {bytes} B"),
                fuel.to_string(),
                format!("{micros:.1} us"),
                format!("{one:.0}/s"),
                format!("{two:.0}/s"),
                format!("{:.2}", two / one),
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

fn request(plugin: &Plugin, bytes: u32, config: Bytes) -> MergeRequest {
    let inputs = (1..=SIBLINGS).map(|n| {
        let sample = plugin.sample(n, bytes).and_then(Result::ok);
        MergeInput { value: Some(sample.unwrap_or_else(|| lines(n, bytes))), time: Timestamp(n) }
    });
    MergeRequest {
        plugin: plugin.manifest().name.clone(),
        bucket: "bucket".into(),
        key: Bytes::from_static(b"key"),
        config,
        inputs: canonical(inputs.collect()),
    }
}

/// Lines of ten bytes that many plugins take: a word, a tab and a number.
fn lines(n: u64, bytes: u32) -> Bytes {
    let line = |line: u32| format!("{:04x}\t{n}0{n}\n", line * 7 + u32::try_from(n).unwrap_or(0));
    let text: String = (0..bytes.div_ceil(10)).map(line).collect();
    Bytes::from(text).slice(..)
}
