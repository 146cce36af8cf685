//! `kinfold plugin rollback`, and `kinfold bucket rollback`: a bucket back to its plugin from before.

use clap::Args;

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;

/// Have a bucket merge as it did before; needs an admin's certificate
///
/// Goes back to the plugin and the plugin config that the bucket had before they last changed; doing it twice goes forth again. It waits
/// for nobody: a node that lacks the plugin keeps siblings until it has it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kinfold bucket rollback carts")]
pub(crate) struct Rollback {
    /// The bucket
    bucket: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Rollback {
    pub(crate) fn run(self) -> Result<End, Failure> {
        self.cluster.with_client(async |client| {
            let missing = client.bucket_rollback(&self.bucket).await?;
            output::tell_change(
                &format!("bucket {} merges as it did before", self.bucket),
                &missing,
            )
        })
    }
}
