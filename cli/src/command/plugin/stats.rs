//! `kinfold plugin stats`: how plugins are doing.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use kinfold_client::{Error, Histogram, Member, MergeCounts, NodePlugins, ShadowCounts};
use serde_json::{Value, json};

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

/// Show how plugins are doing: merges, failures, fuel and time, breakers and candidates
///
/// Counts of all nodes together since each of them started, by plugin and bucket. Half and 99 of 100 merges were below the numbers
/// shown for fuel and time, which are good to a factor of two; the JSON has the whole histograms of each node.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin stats
  kinfold plugin stats carts
  kinfold plugin stats --json

Exit code 1: a node can't be reached, or a breaker is open.")]
pub(crate) struct Stats {
    /// Only this bucket
    bucket: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Stats {
    pub(crate) fn run(self) -> Result<End, Failure> {
        self.cluster.with_client(async |client| {
            let mut nodes = client.plugin_stats().await;
            for (_, told) in &mut nodes {
                if let (Some(bucket), Ok(told)) = (&self.bucket, told) {
                    told.merges.values_mut().for_each(|of| of.retain(|name, _| name == bucket));
                    told.merges.retain(|_, of| !of.is_empty());
                    told.shadows.retain(|name, _| name == bucket);
                }
            }
            if self.json {
                output::print_json(&nodes.iter().map(json).collect::<Vec<_>>())?;
            } else {
                output::print(|out| write(out, &nodes))?;
            }
            let well = nodes.iter().all(|(_, told)| told.as_ref().is_ok_and(is_well));
            Ok(if well { End::Done } else { End::NotWell })
        })
    }
}

fn is_well(told: &NodePlugins) -> bool {
    told.merges.values().flat_map(BTreeMap::values).all(|counts| !counts.breaker_open)
}

fn write(out: &mut dyn Write, nodes: &[(Member, Result<NodePlugins, Error>)]) -> io::Result<()> {
    let mut all: BTreeMap<(&str, &str), MergeCounts> = BTreeMap::new();
    let mut shadows: BTreeMap<&str, ShadowCounts> = BTreeMap::new();
    let mut remarks = Vec::new();
    for (member, told) in nodes {
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                remarks.push(format!("{}: {error}", member.name));
                continue;
            }
        };
        for (plugin, buckets) in &told.merges {
            for (bucket, counts) in buckets {
                add(all.entry((plugin, bucket)).or_default(), counts);
                if counts.breaker_open {
                    remarks.push(format!(
                        "{}: {plugin} failed repeatedly in {bucket} and is not called for a while",
                        member.name
                    ));
                }
                if counts.mismatches > 0 {
                    remarks.push(format!(
                        "{}: two runs of one merge of {plugin} in {bucket} differed: this machine is defective",
                        member.name
                    ));
                }
            }
        }
        for (bucket, counts) in &told.shadows {
            add_shadow(shadows.entry(bucket).or_default(), counts);
        }
        if told.overloaded > 0 {
            remarks.push(format!(
                "{}: {} merges were refused because too many were waiting",
                member.name, told.overloaded
            ));
        }
    }
    table(&all).write(out)?;
    for (bucket, counts) in &shadows {
        writeln!(
            out,
            "\n{bucket}: candidate {}: {} merges compared, {} alike, {} different, {} that only it failed, {} that only the \
             bucket's plugin failed, {} skipped",
            counts.plugin,
            counts.compared,
            counts.same,
            counts.different,
            counts.failed,
            counts.better,
            counts.skipped
        )?;
        if let Some(last) = &counts.last {
            writeln!(out, "  the last difference: {last}")?;
        }
    }
    remarks.iter().try_for_each(|remark| writeln!(out, "{remark}"))
}

fn table(all: &BTreeMap<(&str, &str), MergeCounts>) -> Table {
    let headings = [
        "PLUGIN",
        "BUCKET",
        "CALLS",
        "MERGED",
        "FAILED",
        "INPUTS",
        "FUEL",
        "TIME",
        "DISCARDED",
        "VALUES REFUSED",
        "BREAKER",
    ];
    let mut table = Table::new(headings);
    for ((plugin, bucket), counts) in all {
        let failed: Vec<String> =
            counts.failed.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let below = |histogram: &Histogram, unit: &str| {
            let [half, most] = [500, 990].map(|p| histogram.below(p).unwrap_or(0));
            format!("{half}{unit} / {most}{unit}")
        };
        table.row([
            (*plugin).to_owned(),
            (*bucket).to_owned(),
            counts.calls.to_string(),
            counts.merged.to_string(),
            if failed.is_empty() { "-".to_owned() } else { failed.join(", ") },
            counts.inputs.sum.to_string(),
            below(&counts.fuel, ""),
            below(&counts.micros, " us"),
            format!("{} of {} bytes", counts.bytes_discarded, counts.bytes_in),
            format!("{} of {}", counts.invalid, counts.validated),
            if counts.breaker_open { "open" } else { "closed" }.to_owned(),
        ]);
    }
    table
}

fn add(all: &mut MergeCounts, counts: &MergeCounts) {
    all.calls += counts.calls;
    all.merged += counts.merged;
    for (why, count) in &counts.failed {
        *all.failed.entry(why.clone()).or_default() += count;
    }
    all.inputs.add(&counts.inputs);
    all.fuel.add(&counts.fuel);
    all.micros.add(&counts.micros);
    all.bytes_in += counts.bytes_in;
    all.bytes_out += counts.bytes_out;
    all.bytes_discarded += counts.bytes_discarded;
    all.validated += counts.validated;
    all.invalid += counts.invalid;
    all.breaker_open |= counts.breaker_open;
}

fn add_shadow(all: &mut ShadowCounts, counts: &ShadowCounts) {
    all.plugin.clone_from(&counts.plugin);
    all.compared += counts.compared;
    all.same += counts.same;
    all.different += counts.different;
    all.failed += counts.failed;
    all.better += counts.better;
    all.skipped += counts.skipped;
    if counts.last.is_some() {
        all.last.clone_from(&counts.last);
    }
}

fn json((member, told): &(Member, Result<NodePlugins, Error>)) -> Value {
    let told = match told {
        Ok(told) => told,
        Err(error) => return json!({ "node": member.name, "error": error.to_string() }),
    };
    let histogram = |h: &Histogram| {
        json!({
            "count": h.count(), "sum": h.sum, "half_below": h.below(500), "p99_below": h.below(990),
            "by_bits": h.counts,
        })
    };
    let counts = |counts: &MergeCounts| {
        json!({
            "calls": counts.calls, "merged": counts.merged, "failed": counts.failed,
            "inputs": histogram(&counts.inputs), "fuel": histogram(&counts.fuel),
            "microseconds": histogram(&counts.micros),
            "bytes_in": counts.bytes_in, "bytes_out": counts.bytes_out,
            "bytes_discarded": counts.bytes_discarded,
            "validated": counts.validated, "invalid": counts.invalid,
            "compared": counts.compared, "mismatches": counts.mismatches,
            "breaker": if counts.breaker_open { "open" } else { "closed" },
            "breaker_opened": counts.breaker_opened,
        })
    };
    let merges: serde_json::Map<String, Value> = told
        .merges
        .iter()
        .map(|(plugin, buckets)| {
            let buckets = buckets.iter().map(|(bucket, of)| (bucket.clone(), counts(of)));
            (plugin.clone(), buckets.collect::<serde_json::Map<_, _>>().into())
        })
        .collect();
    let shadow = |counts: &ShadowCounts| {
        json!({
            "plugin": counts.plugin, "compared": counts.compared, "same": counts.same,
            "different": counts.different, "failed": counts.failed, "better": counts.better,
            "skipped": counts.skipped, "last": counts.last,
        })
    };
    let shadows = told.shadows.iter().map(|(bucket, counts)| (bucket.clone(), shadow(counts)));
    json!({
        "node": member.name,
        "merges": merges,
        "shadows": shadows.collect::<serde_json::Map<_, _>>(),
        "overloaded": told.overloaded,
        "no_plugin": told.no_plugin,
        "waiting": told.waiting,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_nodes_stand_in_one_row() {
        let mut counts = MergeCounts { calls: 3, merged: 2, ..MergeCounts::default() };
        counts.failed.insert("trap".to_owned(), 1);
        counts.fuel.note(1_000);
        counts.micros.note(20);
        (counts.validated, counts.invalid) = (5, 1);
        let mut all = MergeCounts::default();
        add(&mut all, &counts);
        add(&mut all, &counts);
        let mut out = Vec::new();
        table(&BTreeMap::from([(("cart@1", "carts"), all)])).write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let row: Vec<&str> = text.lines().nth(1).unwrap().split("  ").map(str::trim).collect();
        let row: Vec<&str> = row.into_iter().filter(|cell| !cell.is_empty()).collect();
        assert_eq!(row[..5], ["cart@1", "carts", "6", "4", "2 trap"]);
        assert_eq!(row[6..8], ["1023 / 1023", "31 us / 31 us"]);
        assert_eq!(row[9..], ["2 of 10", "closed"]);
    }
}
