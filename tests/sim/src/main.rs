#![forbid(unsafe_code)]
//! The simulator's commands.

use std::num::ParseIntError;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use kinfold_protocol::planted::Bug;
use sim::balance;
use sim::bank::{HEAD, Lane, Row, catch, lane};
use sim::causality;
use sim::gossip::{Setup, measure};
use sim::history::{Effect, History, Op};
use sim::measure::{self, Task};
use sim::run::{Report, run, run_changing, run_joins_and_leaves, run_reshaping};
use sim::staleness;
use sim::storm;

/// Runs whole clusters of Kinfold's core in simulated time.
#[derive(Parser)]
#[command(name = "sim")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed.
    Run {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// Print every event.
        #[arg(long)]
        trace: bool,
        /// Print the operations on this key, named as in `siblings/key-0`.
        #[arg(long)]
        history: Option<String>,
        /// Plant a bug.
        #[arg(long, conflicts_with = "changing")]
        bug: Option<Bug>,
        /// Change the buckets' plugins time and again.
        #[arg(long)]
        changing: bool,
        /// Have members join, leave and be replaced time and again.
        #[arg(long, conflicts_with = "changing")]
        reshaping: bool,
        /// Have two nodes join three, and leave again.
        #[arg(long, conflicts_with_all = ["changing", "reshaping"])]
        joins_and_leaves: bool,
    },
    /// Runs many seeds and prints those that fail.
    Seeds {
        /// From the first to before the last, as in `0..500`.
        #[arg(value_parser = parse_range)]
        seeds: Range<u64>,
        /// Plant a bug.
        #[arg(long)]
        bug: Option<Bug>,
        /// Have members join, leave and be replaced time and again.
        #[arg(long)]
        reshaping: bool,
        /// Have two nodes join three, and leave again.
        #[arg(long, conflicts_with = "reshaping")]
        joins_and_leaves: bool,
    },
    /// Runs many seeds of a storm of conditional puts, and prints those that are out of order.
    Storm {
        /// From the first to before the last, as in `0..500`.
        #[arg(value_parser = parse_range)]
        seeds: Range<u64>,
        /// Plant a bug.
        #[arg(long)]
        bug: Option<Bug>,
    },
    /// Tries every planted bug, and prints the table of which lane catches it after how many seeds. Needs `--features planted`.
    Bugs {
        /// Most seeds of each.
        #[arg(long, default_value_t = 1_000)]
        most: u64,
        /// Only this one.
        #[arg(long)]
        bug: Option<Bug>,
        /// Only name them.
        #[arg(long)]
        list: bool,
    },
    /// Replays a file of traces of dotted version vector sets, one JSON object a line.
    Traces {
        /// The file.
        file: PathBuf,
    },
    /// Measures how soon nodes that are gone are noticed, and how often others are taken for gone, beside the figures of the
    /// SWIM paper.
    Gossip {
        /// How many nodes fail in each setup, one after the other.
        #[arg(long, default_value_t = 40)]
        failures: u32,
        /// Chance.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measures what an exchange between two nodes costs, where some keys of many differ.
    Exchange {
        /// Keys of which both hold a copy.
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
        /// Keys in which they differ.
        #[arg(long, value_delimiter = ',', default_value = "0,1,100,10000")]
        differing: Vec<u64>,
        /// Partitions.
        #[arg(long, default_value_t = 256)]
        partitions: u32,
        /// Length of a key, in bytes.
        #[arg(long, default_value_t = 256)]
        key_bytes: usize,
        /// Length of a value, in bytes.
        #[arg(long, default_value_t = 10_000)]
        value_bytes: usize,
    },
    /// Measures how soon after its acknowledgement a write is read, under latencies of production systems, beside the
    /// published figures of probabilistically bounded staleness.
    Staleness {
        /// Writes, each followed by a read, for every point of a curve.
        #[arg(long, default_value_t = 10_000)]
        trials: u32,
        /// Chance.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measures how evenly layouts spread load beside Dynamo's other strategies, and how little a change of members moves.
    Balance {
        /// Random placements for each of Dynamo's strategies.
        #[arg(long, default_value_t = 100)]
        seeds: u64,
    },
    /// Measures how many events a second one core carries out.
    Speed,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("give a range as in `0..500`")?;
    let number = |text: &str| text.parse().map_err(|e: ParseIntError| format!("{text}: {e}"));
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    let good = match Arguments::parse().command {
        Command::Run { seed, trace, history, bug, changing, reshaping, joins_and_leaves } => {
            let report = if joins_and_leaves {
                run_joins_and_leaves(seed, bug, trace)
            } else if reshaping {
                run_reshaping(seed, bug, trace)
            } else if changing {
                run_changing(seed, trace)
            } else {
                run(seed, bug, trace)
            };
            if let Some(key) = history {
                print_history(&report.history, &key);
            }
            print!("{report}");
            report.violations.is_empty()
        }
        Command::Seeds { seeds, bug, reshaping, joins_and_leaves } => run_seeds(seeds, |seed| {
            if joins_and_leaves {
                run_joins_and_leaves(seed, bug, false)
            } else if reshaping {
                run_reshaping(seed, bug, false)
            } else {
                run(seed, bug, false)
            }
        }),
        Command::Storm { seeds, bug } => run_storms(seeds, bug),
        Command::Bugs { list: true, .. } => {
            Bug::ALL.iter().for_each(|bug| println!("{}: {}", bug.name(), bug.slip()));
            true
        }
        Command::Bugs { most, bug, list: false } => try_bugs(most, bug),
        Command::Traces { file } => replay(&file),
        Command::Gossip { failures, seed } => {
            print_gossip(failures, seed);
            true
        }
        Command::Exchange { keys, differing, partitions, key_bytes, value_bytes } => {
            let task = |differing| Task { keys, differing, partitions, key_bytes, value_bytes };
            differing
                .into_iter()
                .map(|differing| exchange(task(differing)))
                .fold(true, |a, b| a & b)
        }
        Command::Staleness { trials, seed } => {
            print!("{}", staleness::table(trials, seed));
            true
        }
        Command::Balance { seeds } => {
            print!("{}", balance::table(seeds));
            true
        }
        Command::Speed => {
            speed();
            true
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_history(history: &History, key: &str) {
    for op in history.ops().iter().filter(|op| format!("{:?}", op.key) == key) {
        let effects: Vec<Effect> = history.effects(op).collect();
        let Op { id, kind, seen, invoked, returned, outcome, .. } = op;
        println!("{} {invoked}-{} {kind:?} -> {outcome:?}", id.0, returned.unwrap_or_default());
        println!("    saw {:?} {:?}; became {effects:?}", seen.writes, seen.deletes_before);
    }
}

fn run_seeds(seeds: Range<u64>, run: impl Fn(u64) -> Report) -> bool {
    let (mut events, mut operations, mut failed) = (0, 0, 0u64);
    let count = seeds.end.saturating_sub(seeds.start);
    for seed in seeds {
        let report = run(seed);
        events += report.events;
        operations += report.operations;
        if !report.violations.is_empty() {
            failed += 1;
            print!("{report}");
        }
    }
    println!("{count} seeds, {operations} operations, {events} events: {failed} seeds failed");
    failed == 0
}

fn run_storms(seeds: Range<u64>, bug: Option<Bug>) -> bool {
    let mut failed = 0u64;
    for seed in seeds {
        let (found, history) = storm::run_with_history(seed, bug);
        if !found.is_empty() {
            print_history(&history, "register/key");
        }
        found.iter().for_each(|text| println!("seed {seed}: {text}"));
        failed += u64::from(!found.is_empty());
    }
    println!("{failed} seeds failed");
    failed == 0
}

fn try_bugs(most: u64, only: Option<Bug>) -> bool {
    println!("{HEAD}");
    let mut missed = 0;
    for bug in Bug::ALL.iter().copied().filter(|bug| only.is_none_or(|only| only == *bug)) {
        let catch = catch(bug, most);
        let has_its_test = matches!(lane(bug), Lane::Stage(_) | Lane::Node(_));
        missed += u32::from(catch.is_none() && !has_its_test);
        println!("{}", Row { bug, catch });
    }
    missed == 0
}

fn replay(file: &PathBuf) -> bool {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            return false;
        }
    };
    match causality::replay(&text) {
        Ok(agreement) => {
            let causality::Agreement { traces, operations, agreed, first_difference } = agreement;
            println!("{traces} traces: {agreed} of {operations} operations agree");
            if let Some((seed, at)) = first_difference {
                println!("the first that does not: operation {at} of trace {seed}");
            }
            agreed == operations
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            false
        }
    }
}

fn print_gossip(failures: u32, seed: u64) {
    println!(
        "in periods        first probe  paper  suspected   down   all know  datagrams  falsely down"
    );
    for (loss, pauses) in [(0, false), (50, false), (50, true)] {
        for nodes in [8, 64, 256] {
            let figures = measure(Setup { nodes, loss, pauses, failures, at_once: 1, seed });
            let kind = if pauses { "pauses" } else { "" };
            println!(
                "{nodes:>4} {:>3} % {kind:<6} {:>11.2} {:>6.2} {:>10.2} {:>6.2} {:>10.2} {:>10.2}  {} in {} node-periods, {} unnoticed",
                loss / 10,
                figures.periods_to_first_probe,
                figures.expected,
                figures.first_suspicion,
                figures.first_down,
                figures.all_know,
                figures.datagrams,
                figures.false_positives,
                figures.node_periods,
                figures.unnoticed,
            );
        }
    }
}

fn exchange(task: Task) -> bool {
    let measured = measure::run(task);
    let total = measured.total();
    println!(
        "{} of {} keys differ: {total} bytes in {} messages, {:.1} a pair of trees; {:.3} times the differing objects; {}",
        task.differing,
        task.keys,
        measured.frames,
        total as f64 / measured.trees.max(1) as f64,
        total as f64 / measured.objects.max(1) as f64,
        if measured.equal { "equal afterwards" } else { "NOT EQUAL AFTERWARDS" },
    );
    for (kind, bytes) in &measured.bytes {
        println!("    {kind}: {bytes}");
    }
    measured.equal
}

fn speed() {
    let begun = Instant::now();
    let mut events = 0;
    let mut seeds = 0;
    while begun.elapsed().as_secs() < 5 {
        events += run(seeds, None, false).events;
        seeds += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{events} events of {seeds} seeds in {seconds:.1} s: {:.0} a second",
        events as f64 / seconds
    );
}
