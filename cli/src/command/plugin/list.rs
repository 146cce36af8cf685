//! `kinfold plugin list`: which plugins there are.

use std::collections::BTreeMap;

use clap::Args;
use kinfold_client::{BucketEntry, BucketName, Listed};
use serde_json::json;

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

/// List the plugins of a cluster
///
/// First those that are installed, as NAME@VERSION; then those that come with the program or lie in the plugins folder of the
/// node that answers, by their name.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin list
  kinfold plugin list --json")]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl List {
    pub(crate) fn run(self) -> Result<End, Failure> {
        self.cluster.with_client(async |client| {
            let (listed, buckets) = (client.plugins().await?, client.buckets().await?);
            if self.json {
                output::print_json(&json(&listed, &buckets))?;
            } else {
                output::print(|out| table(&listed, &buckets).write(out))?;
            }
            Ok(End::Done)
        })
    }
}

/// The buckets that merge with a plugin.
pub(super) fn users<'b>(
    buckets: &'b BTreeMap<BucketName, BucketEntry>,
    plugin: &str,
) -> Vec<&'b str> {
    let uses = |entry: &BucketEntry| entry.config.mode.plugin() == Some(plugin);
    buckets.iter().filter(|(_, entry)| uses(entry)).map(|(name, _)| name.as_str()).collect()
}

fn table(listed: &Listed, buckets: &BTreeMap<BucketName, BucketEntry>) -> Table {
    let mut table = Table::new(["PLUGIN", "CONTRACT", "SIZE", "EVIDENCE", "BLAKE3", "BUCKETS"]);
    let used = |plugin: &str| match users(buckets, plugin)[..] {
        [] => "-".to_owned(),
        ref users => users.join(" "),
    };
    for (release, component) in &listed.installed {
        table.row([
            release.to_string(),
            component.contract.name().to_owned(),
            format!("{} KiB", component.size.div_ceil(1024)),
            if component.evidence.warns() { "warnings" } else { "passed" }.to_owned(),
            component.hash.to_string()[..16].to_owned(),
            used(release.as_str()),
        ]);
    }
    for (name, plugin) in &listed.local {
        table.row([
            name.clone(),
            plugin.contract.name().to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            plugin.hash.to_string()[..16].to_owned(),
            used(name),
        ]);
    }
    table
}

fn json(listed: &Listed, buckets: &BTreeMap<BucketName, BucketEntry>) -> serde_json::Value {
    let installed = listed.installed.iter().map(|(release, component)| {
        json!({
            "plugin": release.as_str(),
            "installed": true,
            "contract": component.contract.name(),
            "blake3": component.hash.to_string(),
            "bytes": component.size,
            "warnings": component.evidence.warns(),
            "buckets": users(buckets, release.as_str()),
        })
    });
    let local = listed.local.iter().map(|(name, plugin)| {
        json!({
            "plugin": name,
            "installed": false,
            "version": plugin.version,
            "contract": plugin.contract.name(),
            "blake3": plugin.hash.to_string(),
            "buckets": users(buckets, name),
        })
    });
    installed.chain(local).collect()
}
