//! `kinfold plugin install`: a component into a cluster.

use std::time::Duration;

use clap::Args;
use kinfold_client::{BucketName, Install as Plan};
use serde_json::json;

use crate::cluster_args::ClusterArgs;
use crate::command::plugin::evidence;
use crate::command::plugin::subject::Subject;
use crate::exit::{End, Failure};
use crate::output;

/// A node tries the laws for a minute at most; making a counterexample small takes a moment more.
const PATIENCE: Duration = Duration::from_secs(150);

/// Install a plugin in a cluster; needs an admin's certificate
///
/// Uploads a component to a node, which tries the laws on it, within the limits of merges and for a minute at most. If a law
/// that its contract binds it to does not hold, it is refused, with the smallest siblings that show it. Otherwise the cluster's
/// catalogue names it, by the name and version in its plugin.toml, with what was tried as evidence, and every node fetches it by its
/// hash from another one and compiles it. Buckets use it after `bucket set BUCKET --merge NAME@VERSION`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin install cart.wasm
  kinfold plugin install cart --sample carts
  kinfold plugin install cart.wasm --cases 5000 --seed 7 --json

Exit code 1: refused, and nothing was installed.")]
pub(crate) struct Install {
    #[command(flatten)]
    subject: Subject,
    /// Where chance comes from: the same seed tries the same siblings
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many random cases to try
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cases: u32,
    /// A bucket whose siblings are to be among those that are tried: those that the node merged lately
    #[arg(long, value_name = "BUCKET")]
    sample: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Install {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let component = self.subject.component()?;
        let sample = self.sample.map(BucketName::new).transpose();
        let sample = sample.map_err(|error| Failure::Usage(error.to_string()))?;
        let plan =
            Plan { seed: self.seed, cases: self.cases, config: self.subject.config(), sample };
        self.cluster.with_client(async |client| {
            output::note(&format!(
                "uploading {} KiB; a node tries the laws on it, which may take up to a minute",
                component.len().div_ceil(1024)
            ));
            let installed = client.plugin_install(component.into(), plan, PATIENCE).await?;
            let missing = client.names_of(&installed.missing);
            if self.json {
                output::print_json(&json!({
                    "plugin": installed.release.as_str(),
                    "blake3": installed.hash.to_string(),
                    "refused": installed.refused,
                    "evidence": evidence::json(&installed.evidence),
                    "missing": missing,
                }))?;
            } else {
                output::print(|out| {
                    writeln!(out, "{}", installed.release)?;
                    writeln!(out, "blake3 {}\n", installed.hash)?;
                    evidence::write(&installed.evidence, out)?;
                    match (installed.refused, installed.evidence.warns()) {
                        (true, _) => writeln!(out, "\nrefused: nothing was installed"),
                        (false, true) => writeln!(out, "\ninstalled, with warnings"),
                        (false, false) => writeln!(out, "\ninstalled"),
                    }
                })?;
            }
            if !missing.is_empty() {
                output::note(&format!(
                    "not known yet to {}: they fetch it when they are heard of again",
                    missing.join(", ")
                ));
            }
            Ok(if installed.refused { End::NotWell } else { End::Done })
        })
    }
}
