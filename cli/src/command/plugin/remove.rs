//! `kinfold plugin remove`: a plugin out of a cluster.

use clap::Args;

use crate::cluster_args::ClusterArgs;
use crate::command::plugin::show;
use crate::exit::{End, Failure};
use crate::output;

/// Remove an installed plugin; needs an admin's certificate
///
/// Refused while a bucket merges with it or tries it as a candidate. A bucket that merged with it before can't be rolled back to it
/// any more.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kinfold plugin remove cart@0.1.0")]
pub(crate) struct Remove {
    /// The plugin: NAME@VERSION, or NAME if only one version of it is installed
    #[arg(value_name = "NAME[@VERSION]")]
    plugin: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Remove {
    pub(crate) fn run(self) -> Result<End, Failure> {
        self.cluster.with_client(async |client| {
            let listed = client.plugins().await?;
            let release = show::find(&listed, &self.plugin)?.0.clone();
            let missing = client.plugin_remove(release.clone()).await?;
            output::tell_change(&format!("plugin {release} is removed"), &missing)
        })
    }
}
