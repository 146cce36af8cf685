#![forbid(unsafe_code)]
//! Runs chaos of a seed and says what came of it.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use chaos::cuts::{self, Case};
use chaos::error::Error;
use chaos::plan::{Plan, Size};
use chaos::report::Report;
use chaos::run::{Setup, run};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Kinds of faults that a run must have carried out.
const FEWEST_KINDS: usize = 12;

/// Five real nodes under seeded faults, judged by the simulator's checkers
///
/// Needs the `kinfold` program beside this one, or its path in KINFOLD_PROGRAM; and root, for a small file system that can be full
/// and for a namespace in which no process or mount outlives this one.
#[derive(Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// Chance: the same one plans the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Minutes of faults, two at least
    #[arg(long, default_value_t = 10, conflicts_with = "short")]
    minutes: u64,
    /// As little as has every kind of fault
    #[arg(long)]
    short: bool,
    /// Go on until so many operations are acknowledged, four minutes of faults at least
    #[arg(long, conflicts_with_all = ["short", "minutes"])]
    operations: Option<usize>,
    /// Only cut connections, so many times, at steps of changes of the ring; 54 have all steps, sides and directions, 108 have them for a
    /// node that joins and for one that leaves
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["short", "minutes", "operations"])]
    cuts: Option<usize>,
    /// Fail unless so many operations were acknowledged
    #[arg(long, default_value_t = 0)]
    at_least: usize,
    /// Keep the nodes' logs and data also if all is well
    #[arg(long)]
    keep: bool,
    /// Only print the plan
    #[arg(long)]
    plan: bool,
    /// The loopback address that this run has for itself; set where it runs in a namespace of its own
    #[arg(long, hide = true)]
    host: Option<Ipv4Addr>,
}

impl Arguments {
    fn size(&self) -> Size {
        match self.operations {
            Some(operations) => Size::operations(operations),
            None if self.cuts.is_some() => Size::CUTS,
            None if self.short => Size::SHORT,
            None => Size::minutes(self.minutes),
        }
    }

    fn command(&self) -> String {
        let size = match (self.operations, self.cuts, self.short) {
            (Some(operations), _, _) => format!("--operations {operations}"),
            (None, Some(cuts), _) => format!("--cuts {cuts}"),
            (None, None, true) => "--short".to_owned(),
            (None, None, false) => format!("--minutes {}", self.minutes),
        };
        format!(
            "cargo build --release -p kinfold && cargo run --release -p chaos -- --seed {} {size}",
            self.seed
        )
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.plan {
        print_plan(&arguments);
        return ExitCode::SUCCESS;
    }
    let host = arguments.host.unwrap_or_else(|| {
        let host = own_address();
        enter_namespace(host);
        eprintln!("no namespace of its own is to be had here, so kinds of faults that need mounts are skipped");
        host
    });
    match carry_out(&arguments, host) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}\nreplay the plan with: {}", arguments.command());
            ExitCode::from(2)
        }
    }
}

/// A loopback address that no other process takes: its own number is in it.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 1 + high, middle, low)
}

/// Goes on as the first process of a namespace of processes and mounts: whatever it leaves behind ends with it. Comes back only where
/// that is not possible.
fn enter_namespace(host: Ipv4Addr) {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
        unshare
    };
    let quiet = unshare().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let Ok(own) = std::env::current_exe() else { return };
    if quiet.is_ok_and(|status| status.success()) {
        let mut again = unshare();
        again.arg(own).args(std::env::args_os().skip(1)).args(["--host", &host.to_string()]);
        let error = again.exec();
        eprintln!("{error}");
    }
}

fn print_plan(arguments: &Arguments) {
    if let Some(count) = arguments.cuts {
        println!("seed {}:", arguments.seed);
        for (number, case) in Case::of(arguments.seed, count).iter().enumerate() {
            println!("    {:>3}: {case}", number + 1);
        }
        return;
    }
    let plan = Plan::new(arguments.seed, arguments.size());
    println!("seed {}: n{} is away, then", arguments.seed, plan.absent + 1);
    for (number, round) in plan.rounds.iter().enumerate() {
        println!("round {}:", number + 1);
        for strike in round {
            let (at, lasts) = (strike.at as f64 / 1e3, strike.lasts as f64 / 1e3);
            println!("    {at:>6.1} s, for {lasts:>5.1} s: {}", strike.fault);
        }
    }
    if let Some(operations) = arguments.operations {
        println!("and so on with the next seeds, until {operations} operations are acknowledged");
    }
}

/// The program under test.
fn program() -> Result<PathBuf, Error> {
    if let Some(program) = std::env::var_os("KINFOLD_PROGRAM") {
        return Ok(program.into());
    }
    let own = std::env::current_exe().map_err(Error::at("finding", Path::new("this program")))?;
    let beside = own.with_file_name("kinfold");
    if beside.exists() {
        return Ok(beside);
    }
    Err(Error::Stage(format!(
        "there is no {}: build it with `cargo build -p kinfold`, or name it in KINFOLD_PROGRAM",
        beside.display()
    )))
}

fn carry_out(arguments: &Arguments, host: Ipv4Addr) -> Result<bool, Error> {
    print_plan(arguments);
    let folder = tempfile::Builder::new().prefix("kinfold-chaos-").tempdir();
    let mut folder = folder.map_err(Error::at("making a folder in", &std::env::temp_dir()))?;
    let setup = Setup {
        seed: arguments.seed,
        size: arguments.size(),
        folder: folder.path().to_owned(),
        program: program()?,
        host,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Error::at("starting", Path::new("threads")))?;
    let report = runtime.block_on(async {
        let stop = |kind| signal(kind).map_err(Error::at("listening for", Path::new("signals")));
        let (mut interrupt, mut terminate) =
            (stop(SignalKind::interrupt())?, stop(SignalKind::terminate())?);
        tokio::select! {
            report = carry(setup, arguments.cuts) => report,
            _ = interrupt.recv() => Err(Error::Interrupted),
            _ = terminate.recv() => Err(Error::Interrupted),
        }
    });
    let interrupted = matches!(report, Err(Error::Interrupted));
    let good = report.as_ref().is_ok_and(|report| is_good(report, arguments));
    if arguments.keep || !(good || interrupted) {
        folder.disable_cleanup(true);
        eprintln!("the nodes' logs and data are in {}", folder.path().display());
    }
    let report = report?;
    println!("{report}");
    if !good {
        println!("replay the plan with: {}", arguments.command());
    }
    Ok(good)
}

async fn carry(setup: Setup, cuts: Option<usize>) -> Result<Report, Error> {
    match cuts {
        Some(count) => cuts::run(setup, count).await,
        None => run(setup).await,
    }
}

fn is_good(report: &Report, arguments: &Arguments) -> bool {
    report.violations.is_empty()
        && (arguments.cuts.is_some() || report.tally.kinds() >= FEWEST_KINDS)
        && report.acknowledged() >= arguments.at_least
}
