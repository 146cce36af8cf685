//! `kinfold plugin shadow`: a candidate beside a bucket's plugin.

use clap::Args;

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;

/// Try a plugin beside a bucket's own, on live merges; needs an admin's certificate
///
/// The candidate runs after the answer is out, on the same siblings, while there is time; what it gives is compared and never used.
/// `kinfold plugin stats` shows how often the two differ, and the last difference.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin shadow carts cart@0.2.0
  kinfold plugin stats carts
  kinfold plugin shadow carts --off")]
pub(crate) struct Shadow {
    /// The bucket
    bucket: String,
    /// The candidate: NAME@VERSION, or the name of one that every node has
    #[arg(value_name = "PLUGIN", required_unless_present = "off", conflicts_with = "off")]
    plugin: Option<String>,
    /// Try no candidate any more
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Shadow {
    pub(crate) fn run(self) -> Result<End, Failure> {
        self.cluster.with_client(async |client| {
            let missing = client.bucket_shadow(&self.bucket, self.plugin.clone()).await?;
            let done = match &self.plugin {
                Some(plugin) => format!("{plugin} is tried beside the plugin of {}", self.bucket),
                None => format!("no candidate is tried in {} any more", self.bucket),
            };
            output::tell_change(&done, &missing)
        })
    }
}
