//! `kinfold plan-capacity`: how many machines a load takes, from measured figures.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::bench::size;
use crate::exit::{End, Failure};
use crate::output;

/// A layout has no more partitions.
const MOST_PARTITIONS: u64 = 65_536;

/// Bytes of a partition's tree: 1 024 leaves of 16.
const TREE: f64 = 1_024.0 * 16.0;

/// Work out nodes, disks, memory, network and repair time for a load
///
/// What the load takes is computed from measured figures, each of which is a flag: the defaults are those of docs/TESTING.md,
/// measured with nodes and clients on one machine of two cores. Measure your own with `kinfold bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kinfold plan-capacity
  kinfold plan-capacity --data 1PB --disk 16TB --requests 100000 --formulas
  kinfold plan-capacity --keys 1000000000 --measured-puts 3953 --measured-gets 29542 --json")]
pub(crate) struct PlanCapacity {
    /// Keys that are stored
    #[arg(long, default_value_t = 1_000_000_000)]
    keys: u64,
    /// Bytes of values that are stored, instead of a number of keys, such as 1PB
    #[arg(long, value_name = "BYTES", value_parser = size::parse, conflicts_with = "keys")]
    data: Option<usize>,
    /// Length of a key
    #[arg(long, value_name = "BYTES", value_parser = size::parse, default_value = "256B")]
    key: usize,
    /// Length of a value
    #[arg(long, value_name = "BYTES", value_parser = size::parse, default_value = "10KB")]
    value: usize,
    /// Copies of every key
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
    copies: u64,
    /// Requests a second at the peak
    #[arg(long, default_value_t = 12_000)]
    requests: u64,
    /// How many of a hundred requests write
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=100))]
    puts: u64,
    /// Puts a second that were measured, all nodes and clients together
    #[arg(long, default_value_t = 3_953)]
    measured_puts: u64,
    /// Gets a second that were measured, all nodes and clients together
    #[arg(long, default_value_t = 29_542)]
    measured_gets: u64,
    /// Cores that they were measured on, all nodes and clients together
    #[arg(long, default_value_t = 2)]
    measured_cores: u64,
    /// Bytes on the disk beside key and value, a copy
    #[arg(long, value_name = "BYTES", value_parser = size::parse, default_value = "300B")]
    overhead: usize,
    /// Disk space for each byte that counts, of a hundred: what compaction has not yet freed comes on top
    #[arg(long, default_value_t = 130, value_parser = clap::value_parser!(u64).range(100..=1000))]
    amplification: u64,
    /// Disk of a node
    #[arg(long, value_name = "BYTES", value_parser = size::parse, default_value = "8TB")]
    disk: usize,
    /// How full a disk may be, of a hundred: after a node is lost, the others hold what it held
    #[arg(long, default_value_t = 70, value_parser = clap::value_parser!(u64).range(1..=100))]
    fill: u64,
    /// Cores of a node
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    cores: u64,
    /// How busy processors may be at the peak, of a hundred
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100))]
    busy: u64,
    /// Network of a node, Gbit/s
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    network: u64,
    /// Bytes a second that a node takes in while it is filled or repaired
    #[arg(long, value_name = "BYTES", value_parser = size::parse, default_value = "100MB")]
    repair: usize,
    /// Block cache of a node
    #[arg(long, value_name = "BYTES", value_parser = size::parse, default_value = "4GiB")]
    cache: usize,
    /// Print the formulas too
    #[arg(long)]
    formulas: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a load takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Capacity {
    keys: u64,
    /// Bytes on all disks.
    stored_bytes: f64,
    /// Cores that the peak takes, on all nodes.
    cores: f64,
    nodes_for_disk: u64,
    nodes_for_cores: u64,
    nodes_for_network: u64,
    /// The greatest of these, and at least one for each copy.
    nodes: u64,
    partitions: u64,
    /// Of each node, at the peak and with all nodes there.
    disk_bytes: f64,
    memory_bytes: f64,
    network_bytes_per_s: f64,
    cores_busy_percent: f64,
    /// A lost node's data to one new node.
    replace_seconds: f64,
    /// A lost node's data to all the others.
    spread_seconds: f64,
    formulas: Vec<String>,
}

impl PlanCapacity {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let capacity = self.compute()?;
        if self.json {
            output::print_json(&capacity)?;
        } else {
            output::print(|out| self.print(out, &capacity))?;
        }
        Ok(End::Done)
    }

    fn compute(&self) -> Result<Capacity, Failure> {
        let zero = [self.measured_puts, self.measured_gets, self.measured_cores, self.keys];
        if zero.contains(&0) || [self.value, self.disk, self.repair].contains(&0) {
            return Err(Failure::Usage(
                "measured figures, keys, values, disks and the rate of repair can't be zero"
                    .to_owned(),
            ));
        }
        let (key, value, overhead) = (self.key as f64, self.value as f64, self.overhead as f64);
        let keys = self.data.map_or(self.keys, |bytes| (bytes / self.value) as u64);
        let copies = self.copies as f64;
        let percent = |n: u64| n as f64 / 100.0;
        let stored = keys as f64 * copies * (key + value + overhead) * percent(self.amplification);
        let disk = self.disk as f64 * percent(self.fill);
        let puts = self.requests as f64 * percent(self.puts);
        let gets = self.requests as f64 - puts;
        let a_core = |measured: u64| measured as f64 / self.measured_cores as f64;
        let cores = puts / a_core(self.measured_puts) + gets / a_core(self.measured_gets);
        // A put comes in once and goes to the other owners; a get goes out once. What one node sends another one receives.
        let network = (puts * (2.0 * copies - 1.0) + gets) * (key + value);
        let wire = self.network as f64 * 1e9 / 8.0 * percent(self.busy);
        let up = |n: f64| n.ceil().max(1.0) as u64;
        let nodes_for_disk = up(stored / disk);
        let nodes_for_cores = up(cores / (self.cores as f64 * percent(self.busy)));
        let nodes_for_network = up(network / wire);
        let nodes = nodes_for_disk.max(nodes_for_cores).max(nodes_for_network).max(self.copies);
        // Ten partitions a node keep shares within a tenth when nodes come and go; a power of two.
        let partitions = (nodes * 10).next_power_of_two().clamp(256, MOST_PARTITIONS);
        let each = nodes as f64;
        let held = stored / each;
        let keys_held = keys as f64 * copies / each;
        let trees = partitions as f64 * copies / each * TREE;
        // Ten bits a key in the filters of the tables, and the write buffers.
        let memory = self.cache as f64 + keys_held * 1.25 + trees + 512e6;
        Ok(Capacity {
            keys,
            stored_bytes: stored,
            cores,
            nodes_for_disk,
            nodes_for_cores,
            nodes_for_network,
            nodes,
            partitions,
            disk_bytes: held,
            memory_bytes: memory,
            network_bytes_per_s: network / each,
            cores_busy_percent: cores / (each * self.cores as f64) * 100.0,
            replace_seconds: held / self.repair as f64,
            spread_seconds: held / (self.repair as f64 * (each - 1.0).max(1.0)),
            formulas: self.formulas(),
        })
    }

    fn formulas(&self) -> Vec<String> {
        [
            "stored = keys x copies x (key + value + overhead) x amplification",
            "cores = puts / (measured puts / measured cores) + gets / (measured gets / measured cores)",
            "network = (puts x (2 x copies - 1) + gets) x (key + value), in and out, all nodes",
            "nodes = the greatest of stored / (disk x fill), cores / (cores a node x busy), network / (network a node x busy), copies",
            "partitions = the power of two from 10 x nodes on, 256 to 65536",
            "memory a node = cache + 10 bits x keys held + 16 KiB x partitions held + 512 MB of write buffers and program",
            "replace = stored / nodes / repair; spread = stored / nodes / (repair x (nodes - 1))",
        ]
        .map(str::to_owned)
        .into()
    }

    fn print(&self, out: &mut dyn Write, c: &Capacity) -> io::Result<()> {
        writeln!(
            out,
            "{} keys of {} with values of {}, {} copies, {} requests a second of which {} % write\n",
            grouped(c.keys),
            decimal(self.key as f64),
            decimal(self.value as f64),
            self.copies,
            grouped(self.requests),
            self.puts
        )?;
        let why = [
            (c.nodes_for_disk, "disks"),
            (c.nodes_for_cores, "processors"),
            (c.nodes_for_network, "network"),
            (self.copies, "copies"),
        ];
        let why: Vec<String> = why.iter().map(|(n, what)| format!("{n} for {what}")).collect();
        writeln!(out, "nodes             {} ({})", c.nodes, why.join(", "))?;
        writeln!(out, "partitions        {}", c.partitions)?;
        writeln!(out, "stored            {}, on all disks", decimal(c.stored_bytes))?;
        writeln!(
            out,
            "a node's disk     {}, of {}",
            decimal(c.disk_bytes),
            decimal(self.disk as f64)
        )?;
        writeln!(out, "a node's memory   {}", decimal(c.memory_bytes))?;
        writeln!(
            out,
            "a node's cores    {:.0} % of {} busy at the peak",
            c.cores_busy_percent, self.cores
        )?;
        writeln!(
            out,
            "a node's network  {} a second at the peak, in and out",
            decimal(c.network_bytes_per_s)
        )?;
        writeln!(
            out,
            "a lost node       {} until a new one has its data, {} if the others take it over, at {} a second and node",
            hours(c.replace_seconds),
            hours(c.spread_seconds),
            decimal(self.repair as f64)
        )?;
        if self.formulas {
            writeln!(out)?;
            c.formulas.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        Ok(())
    }
}

/// Bytes in decimal units, as disks and networks are sold.
fn decimal(bytes: f64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB", "PB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 1_000.0 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if value.fract() < 0.05 {
        format!("{value:.0} {}", units[unit])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

fn hours(seconds: f64) -> String {
    if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        plan: PlanCapacity,
    }

    fn plan(flags: &[&str]) -> Capacity {
        Only::try_parse_from(["x"].iter().chain(flags)).unwrap().plan.compute().unwrap()
    }

    #[test]
    fn the_load_that_is_planned_for() {
        let c = plan(&[]);
        // 3 x 10^9 copies of 10 556 bytes, 1.3 times; eight terabytes that may be filled to 70 %.
        assert!((c.stored_bytes / 41.168e12 - 1.0).abs() < 1e-3, "{c:?}");
        assert_eq!((c.nodes_for_disk, c.nodes), (8, 8));
        // 6 000 puts at 1 976.5 a core, 6 000 gets at 14 771.
        assert!((c.cores - 3.442).abs() < 1e-2, "{c:?}");
        assert_eq!(c.partitions, 256);
        assert!((c.replace_seconds - 51_460.0).abs() < 10.0, "{c:?}");
        assert!((c.replace_seconds / c.spread_seconds - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_petabyte_takes_a_hundred_times_the_disks() {
        let c = plan(&["--data", "1PB", "--disk", "16TB"]);
        assert_eq!(c.keys, 100_000_000_000);
        assert_eq!((c.nodes, c.partitions), (368, 4_096));
        let copies = plan(&["--keys", "10", "--copies", "5"]);
        assert_eq!(copies.nodes, 5, "each copy is on a node of its own");
        let busy = plan(&["--keys", "10", "--requests", "1000000", "--puts", "100"]);
        assert_eq!(busy.nodes, busy.nodes_for_network.max(busy.nodes_for_cores));
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!((decimal(10_000.0), decimal(1.5e12)), ("10 KB".into(), "1.5 TB".into()));
        assert_eq!((hours(600.0), hours(9_000.0)), ("10 min".into(), "2.5 h".into()));
    }
}
