//! How a command finds and reaches its cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kinfold_client::{Client, Options};

use crate::exit::{End, Failure};
use crate::{dev_folder, duration};

/// How long nodes get to take note that a client leaves.
const FAREWELL: Duration = Duration::from_millis(500);

/// Which cluster, and as whom.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// The profile (client.toml) that says how to reach the cluster and as whom. Without it: the one of the `kinfold dev`
    /// that runs on this machine
    #[arg(long, env = "KINFOLD_PROFILE", value_name = "FILE")]
    profile: Option<PathBuf>,
    /// How long to try, all attempts together, such as 250ms or 5s. Default: the profile's, or 5s
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    deadline: Option<Duration>,
}

impl ClusterArgs {
    /// Connects, has `work` done, and takes leave of the nodes.
    pub(crate) fn with_client<F: Future<Output = Result<End, Failure>>>(
        self,
        work: impl FnOnce(Client) -> F,
    ) -> Result<End, Failure> {
        let options = self.options()?;
        let runtime = crate::runtime::of_a_client()?;
        runtime.block_on(async {
            let client = Client::connect(options).await?;
            let end = work(client.clone()).await;
            // Nodes that are away need no farewell.
            let _ = tokio::time::timeout(FAREWELL, client.close()).await;
            end
        })
    }

    fn options(self) -> Result<Options, Failure> {
        let profile = match self.profile {
            Some(profile) => profile,
            None => dev_folder::default_profile()?.ok_or_else(|| {
                Failure::Usage(
                    "which cluster? Pass --profile FILE or set KINFOLD_PROFILE, or start one with `kinfold dev`"
                        .to_owned(),
                )
            })?,
        };
        let mut options = Options::from_file(profile)?;
        if let Some(deadline) = self.deadline {
            options.deadline = deadline;
        }
        Ok(options)
    }
}
