//! `kinfold scrub`: has nodes read their disks back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use kinfold_client::{Client, NodeStatus, ScrubPass, ScrubStatus};
use serde::Serialize;

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

/// How often nodes are asked how far they are.
const LOOK: Duration = Duration::from_millis(500);

/// How often that is shown.
const SHOW: Duration = Duration::from_secs(5);

/// Have nodes read their disks back, and heal what is damaged
///
/// Each node reads every file and record that it keeps, and compares it with its checksums and trees. Nodes do so all the time,
/// slowly; this has them do it now, as fast as their configuration and their clients allow. A node that finds damage
/// stops, takes out what can't be read, starts again, and gets it back from the other owners.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold scrub --wait
  kinfold scrub --node n1 --wait --json

Exit code 1: a node can't be reached, or with --wait something was not healed within the time.")]
pub(crate) struct Scrub {
    /// Only this node; may be given several times
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    /// Wait until everything is read and what was lost has come back
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, requires = "wait")]
    timeout: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What is printed of a node.
#[derive(Clone, Serialize)]
struct Row {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    bytes_read: u64,
    records_read: u64,
    damage_found: u64,
    leaves_corrected: u64,
    partitions_lost: u64,
}

impl Scrub {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let Self { node: named, wait, timeout, json, cluster } = self;
        cluster.with_client(async |client| {
            let wanted = |name: &str| named.is_empty() || named.iter().any(|n| n == name);
            let before = client.status().await;
            if let Some(name) =
                named.iter().find(|name| before.iter().all(|node| node.member.name != **name))
            {
                return Err(Failure::Usage(format!("the cluster has no node `{name}`")));
            }
            let mut passes: BTreeMap<String, u64> = BTreeMap::new();
            let mut rows: BTreeMap<String, Row> = BTreeMap::new();
            for node in before.iter().filter(|node| wanted(&node.member.name)) {
                let name = node.member.name.clone();
                match client.scrub(&name).await {
                    Ok(status) => {
                        passes.insert(name.clone(), status.scrub.map_or(0, |scrub| scrub.passes));
                        rows.insert(name.clone(), Row::new(&name, "begun"));
                    }
                    Err(error) => {
                        let error = Some(error.to_string());
                        rows.insert(name.clone(), Row { error, ..Row::new(&name, "away") });
                    }
                }
            }
            let mut well = rows.values().all(|row| row.error.is_none());
            if wait {
                let until = Instant::now() + Duration::from_secs(timeout);
                well &= wait_for(&client, &passes, &mut rows, until).await;
            }
            let rows: Vec<Row> = rows.into_values().collect();
            if json {
                output::print_json(&rows)?;
            } else {
                output::print(|out| table(&rows).write(out))?;
            }
            Ok(if well { End::Done } else { End::NotWell })
        })
    }
}

/// Waits until the nodes have gone through, and are whole. Did all?
async fn wait_for(
    client: &Client,
    passes: &BTreeMap<String, u64>,
    rows: &mut BTreeMap<String, Row>,
    until: Instant,
) -> bool {
    let mut shown = Instant::now();
    loop {
        // A node that mends its store is away meanwhile.
        for node in client.status().await {
            if let Some(before) = passes.get(&node.member.name)
                && let Some(row) = Row::of(&node, *before)
            {
                rows.insert(node.member.name.clone(), row);
            }
        }
        let done = passes.keys().all(|name| rows.get(name).is_some_and(|row| row.state == "whole"));
        if done || Instant::now() >= until {
            return done;
        }
        if shown.elapsed() >= SHOW {
            shown = Instant::now();
            for row in rows.values().filter(|row| row.state != "whole") {
                output::note(&format!(
                    "{}: {}, {:.1} MiB read, {} damaged, {} partitions to be healed",
                    row.name,
                    row.state,
                    row.bytes_read as f64 / f64::from(1 << 20),
                    row.damage_found,
                    row.partitions_lost,
                ));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Row {
    fn new(name: &str, state: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            state,
            error: None,
            bytes_read: 0,
            records_read: 0,
            damage_found: 0,
            leaves_corrected: 0,
            partitions_lost: 0,
        }
    }

    /// How a node stands that had gone through so many passes when it was asked for one more; none if it does not say.
    fn of(node: &NodeStatus, before: u64) -> Option<Self> {
        let told = node.status.as_ref().ok()?;
        let scrub: &ScrubStatus = told.scrub.as_ref()?;
        let over = scrub.passes > before;
        let lost = told.counters.get("partitions_lost").copied().unwrap_or_default();
        let state = match (over, scrub.damaged || lost > 0) {
            (false, _) => "reading",
            (true, true) => "healing",
            (true, false) => "whole",
        };
        let none = ScrubPass::default();
        let pass = if over { scrub.last.as_ref().unwrap_or(&none) } else { &scrub.pass };
        Some(Self {
            bytes_read: pass.bytes,
            records_read: pass.records,
            damage_found: pass.damage,
            leaves_corrected: pass.leaves,
            partitions_lost: lost,
            ..Self::new(&node.member.name, state)
        })
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table =
        Table::new(["NODE", "STATE", "READ", "RECORDS", "DAMAGED", "LEAVES SET RIGHT", "TO HEAL"]);
    for row in rows {
        table.row([
            row.name.clone(),
            row.error.clone().unwrap_or_else(|| row.state.to_owned()),
            format!("{:.1} MiB", row.bytes_read as f64 / f64::from(1 << 20)),
            row.records_read.to_string(),
            row.damage_found.to_string(),
            row.leaves_corrected.to_string(),
            row.partitions_lost.to_string(),
        ]);
    }
    table
}
