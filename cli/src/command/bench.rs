//! `kinfold bench`: how fast a cluster is, beside how fast it could be at most.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kinfold_client::{Mode, Options, Tombstones};
use serde::Serialize;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::bench::distribution::Distribution;
use crate::bench::plan::Plan;
use crate::bench::run::Until;
use crate::bench::workload::Writes;
use crate::bench::ycsb::{self, mix::Letter};
use crate::bench::{batch, beside, conflict, duel, joining, size};
use crate::exit::{End, Failure};
use crate::signals::Stop;
use crate::{dev_folder, duration, output};

/// Measure how fast a cluster is
///
/// Without --profile it starts three nodes of its own in this process, on loopback and with durable writes, and removes them
/// afterwards. Clients form a closed loop: each sends its next request when its last one is answered. Values are random
/// bytes, which nothing can compress, and what gets bring is compared with what was put.
///
/// With --floor the same bytes also go over bare QUIC through three relays of the same shape, which append them to
/// plain files with a shared fdatasync and do nothing else. The two take turns, and the ratio says what the store costs.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold bench
  kinfold bench --floor
  kinfold bench --floor --puts 0 --gets 100
  kinfold bench --puts 5 --gets 95 --dist zipfian --writes own
  kinfold bench --profile client.toml --seconds 60 --json
  kinfold bench --conflict cart --value 100 --keys 2000
  kinfold bench --ycsb a,b,c,f,d --svg latencies.svg
  kinfold bench --batches 64 --value 1KB --keys 6400
  kinfold bench --beside-exchange --puts 10 --gets 90 --clients 8
  kinfold bench --beside-join --puts 10 --gets 90 --clients 8 --keys 100000

Exit code 1: some requests failed; the report says how many and why.")]
pub(crate) struct Bench {
    /// Clients that ask at one time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    clients: u64,
    /// Connections to each node, which the clients share
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    connections: u64,
    /// Seconds that are counted, in each round
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Count so many requests in each round instead
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// How long requests are made in each round before they count
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    warm_up: Duration,
    /// Rounds; the figures are the medians. Default: 3 with --floor, --beside-exchange and --beside-join, or else 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: Option<u32>,
    /// Puts, in proportion to --gets
    #[arg(long, value_name = "N", default_value_t = 100)]
    puts: u32,
    /// Gets, in proportion to --puts
    #[arg(long, value_name = "N", default_value_t = 0)]
    gets: u32,
    /// The length of values: 10KB is 10 000 bytes, 10KiB is 10 240. Default: 10KB, and 1000 with --ycsb
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    value: Option<usize>,
    /// The length of keys, 16 to 4096 bytes. Default: 256, and 24 with --ycsb
    #[arg(long, value_name = "SIZE", value_parser = key_size)]
    key: Option<usize>,
    /// Keys that are put before anything is counted, for gets, and for --writes own and blind
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// How requests are spread over the keys
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    dist: Distribution,
    /// Which keys puts write
    #[arg(long, value_enum, default_value_t = Writes::Fresh)]
    writes: Writes,
    /// The lattice plugin that merges siblings. Default: none, siblings are kept; last-write-wins with --ycsb
    #[arg(long, value_name = "PLUGIN")]
    merge: Option<String>,
    /// Owners that a get waits for. Default: 1, and 2 with --ycsb
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    r: Option<u8>,
    /// Owners whose durable acknowledgement a put waits for
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
    w: u8,
    /// Where chance comes from; the same seed makes the same requests. Default: another one each time
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Measure the floor too, and print the ratio
    #[arg(long, conflicts_with = "profile")]
    floor: bool,
    /// Where the bench's own cluster keeps its data: a folder on the disk to be measured. Default: the system's temporary
    /// folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "profile")]
    dir: Option<PathBuf>,
    /// Measure the cluster of this profile (client.toml), as an operator: a bucket is made for it, and stays
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Measure instead what a get costs that has to merge three siblings of --value bytes with this built-in plugin, beside a get
    /// of what they merge to: --keys of each, one at a time
    #[arg(long, value_name = "PLUGIN", conflicts_with_all = ["profile", "floor", "merge"])]
    conflict: Option<String>,
    /// Measure instead what a key costs in batches of so many puts or gets, beside one after the other by the same client: about --keys
    /// of each, and the four take turns
    #[arg(long, value_name = "N", conflicts_with_all = ["profile", "floor", "conflict", "merge"], value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batches: Option<u64>,
    /// Run these core workloads of YCSB instead, one after the other on the same --keys records: a, b, c, d, f
    #[arg(long, value_enum, value_name = "LETTERS", value_delimiter = ',', conflicts_with_all = ["floor", "conflict", "batches", "beside_exchange", "puts", "gets", "dist", "writes", "rounds"])]
    ycsb: Vec<Letter>,
    /// Write a plot of the latencies of --ycsb to this file, as SVG
    #[arg(long, value_name = "FILE", requires = "ycsb")]
    svg: Option<PathBuf>,
    /// Measure instead the p99 of requests while an exchange brings a node up to date that has missed --keys keys, beside the p99
    /// of the same requests in quiet; the two take turns in each round
    #[arg(long, conflicts_with_all = ["profile", "floor", "conflict"])]
    beside_exchange: bool,
    /// Measure instead the p99 of requests while a fourth node joins the three, which hold --keys keys, beside the p99 of the same
    /// requests before it; so many --rounds before, beside and after it. Takes some five times --keys times --value of disk
    #[arg(long, conflicts_with_all = ["profile", "floor", "conflict", "batches", "ycsb", "beside_exchange"])]
    beside_join: bool,
    /// Print a report for programs
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let runtime = crate::runtime::of_nodes()?;
        if let Some(plugin) = &self.conflict {
            return self.run_conflict(plugin, &runtime);
        }
        if let Some(batch) = self.batches {
            return self.run_batches(batch, &runtime);
        }
        if !self.ycsb.is_empty() {
            return self.run_ycsb(&runtime);
        }
        let plan = self.plan()?;
        if self.beside_exchange {
            return self.run_beside(plan, &runtime);
        }
        if self.beside_join {
            return self.run_join(plan, &runtime);
        }
        let report = until_stopped(&runtime, async {
            match &self.profile {
                Some(profile) => duel::alone(plan, &Options::from_file(profile)?).await,
                None => duel::own(plan, self.folder()?.path(), self.floor).await,
            }
        });
        runtime.shutdown_background();
        let Some(report) = report? else { return Ok(End::NotWell) };
        self.tell(&report, |out| report.write(out))?;
        Ok(if report.is_clean() { End::Done } else { End::NotWell })
    }

    fn run_conflict(&self, plugin: &str, runtime: &Runtime) -> Result<End, Failure> {
        let plan = conflict::Plan {
            plugin: plugin.to_owned(),
            bytes: u32::try_from(self.value.unwrap_or(VALUE)).unwrap_or(u32::MAX),
            keys: self.keys,
            r: self.r.unwrap_or(1),
        };
        let folder = self.folder()?;
        let found = until_stopped(runtime, conflict::measure(plan, folder.path()));
        let Some(found) = found? else { return Ok(End::NotWell) };
        self.tell(&found, |out| found.write(out))?;
        Ok(End::Done)
    }

    fn run_batches(&self, batch: u64, runtime: &Runtime) -> Result<End, Failure> {
        let plan = batch::Plan {
            batch,
            bytes: self.value.unwrap_or(VALUE),
            keys: self.keys,
            r: self.r.unwrap_or(1),
            w: self.w,
        };
        let folder = self.folder()?;
        let found = until_stopped(runtime, batch::measure(plan, folder.path()));
        let Some(found) = found? else { return Ok(End::NotWell) };
        self.tell(&found, |out| found.write(out))?;
        Ok(End::Done)
    }

    fn run_ycsb(&self, runtime: &Runtime) -> Result<End, Failure> {
        let plan = ycsb::run::Plan {
            workloads: self.ycsb.clone(),
            records: self.keys,
            clients: self.clients,
            connections: self.connections,
            value_bytes: self.value.unwrap_or(1_000),
            key_bytes: self.key.unwrap_or(24),
            plugin: self.merge.clone().unwrap_or_else(|| "last-write-wins".to_owned()),
            r: self.r.unwrap_or(2),
            w: self.w,
            seed: self.seed()?,
            warm_up: self.warm_up,
            until: self
                .requests
                .map_or(Until::Time(Duration::from_secs(self.seconds)), Until::Requests),
        };
        let report = until_stopped(runtime, async {
            match &self.profile {
                Some(profile) => ycsb::run::alone(plan, &Options::from_file(profile)?).await,
                None => ycsb::run::own(plan, self.folder()?.path()).await,
            }
        });
        let Some(report) = report? else { return Ok(End::NotWell) };
        if let Some(file) = &self.svg {
            std::fs::write(file, report.svg())?;
        }
        self.tell(&report, |out| report.write(out))?;
        Ok(if report.is_clean() { End::Done } else { End::NotWell })
    }

    /// Is one thing measured beside another?
    fn takes_turns(&self) -> bool {
        self.floor || self.beside_exchange || self.beside_join
    }

    /// Where nodes of its own keep their data.
    fn folder(&self) -> Result<TempDir, Failure> {
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        dev_folder::throw_away("kinfold-bench-", &parent)
    }

    fn tell(
        &self,
        found: &impl Serialize,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if self.json { output::print_json(found) } else { output::print(write) }
    }

    fn seed(&self) -> Result<u64, Failure> {
        match self.seed {
            Some(seed) => Ok(seed),
            None => Ok(getrandom::u64().map_err(std::io::Error::from)?),
        }
    }

    fn run_beside(&self, plan: Plan, runtime: &Runtime) -> Result<End, Failure> {
        let folder = self.folder()?;
        let found = until_stopped(runtime, beside::measure(plan, folder.path()));
        let Some(found) = found? else { return Ok(End::NotWell) };
        self.tell(&found, |out| found.write(out))?;
        Ok(End::Done)
    }

    fn run_join(&self, plan: Plan, runtime: &Runtime) -> Result<End, Failure> {
        let folder = self.folder()?;
        let found = until_stopped(runtime, joining::measure(plan, folder.path()));
        let Some(found) = found? else { return Ok(End::NotWell) };
        self.tell(&found, |out| found.write(out))?;
        Ok(if found.is_clean() { End::Done } else { End::NotWell })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let plugin = |plugin: &String| Mode::Lattice {
            plugin: plugin.clone(),
            tombstones: Tombstones::Pass,
        };
        let plan = Plan {
            clients: self.clients,
            connections: self.connections,
            time: Duration::from_secs(self.seconds),
            requests: self.requests,
            warm_up: self.warm_up,
            rounds: self.rounds.unwrap_or(if self.takes_turns() { 3 } else { 1 }),
            puts: self.puts.into(),
            gets: self.gets.into(),
            value_bytes: self.value.unwrap_or(VALUE),
            key_bytes: self.key.unwrap_or(256),
            keys: self.keys,
            distribution: self.dist,
            writes: self.writes,
            mode: self.merge.as_ref().map_or(Mode::Siblings, plugin),
            r: self.r.unwrap_or(1),
            w: self.w,
            seed: self.seed()?,
        };
        plan.check().map_err(Failure::Usage)?;
        Ok(plan)
    }
}

/// What comes of it; none if it is interrupted.
fn until_stopped<T>(
    runtime: &Runtime,
    bench: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    runtime.block_on(async {
        let mut stop = Stop::listen()?;
        tokio::select! {
            found = bench => found.map(Some),
            () = stop.wait() => Ok(None),
        }
    })
}

/// The length of values unless it is given.
const VALUE: usize = 10_000;

fn key_size(text: &str) -> Result<usize, String> {
    let bytes = size::parse(text)?;
    if (16..=4096).contains(&bytes) {
        return Ok(bytes);
    }
    Err("keys have 16 to 4096 bytes here: fewer could not tell the keys apart".to_owned())
}
