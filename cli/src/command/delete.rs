//! `kinfold delete`: deletes a key.

use std::ffi::OsString;

use clap::Args;
use kinfold_client::CausalContext;

use crate::bytes_text;
use crate::cluster_args::ClusterArgs;
use crate::command::written::{self, WriteArgs};
use crate::exit::{End, Failure};

/// Delete a key
///
/// Deletes what the --context has seen; without one the key is read first, and what is found is deleted. A write at the
/// same time survives.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold delete carts alice
  kinfold delete --context CONTEXT carts alice
  kinfold delete --only-if CONTEXT locks printer

Exit code 6: the condition did not hold, and nothing was deleted; the object that is there was printed as by get.
Exit code 4: the delete may or may not have happened; the message has the id to repeat it with --request.")]
pub(crate) struct Delete {
    /// The bucket
    bucket: String,
    /// The key
    key: OsString,
    /// Delete only if nobody has written since the read or write that printed this context
    #[arg(long, value_name = "CONTEXT", conflicts_with = "context")]
    only_if: Option<CausalContext>,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Delete {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let key = bytes_text::argument(self.key);
        self.cluster.with_client(async |client| {
            let mut delete = client.bucket(self.bucket)?.delete(&key);
            if let Some(context) = self.write.context {
                delete = delete.context(context);
            }
            if let Some(context) = self.only_if {
                delete = delete.only_if(context);
            }
            if let Some(w) = self.write.w {
                delete = delete.w(w);
            }
            if let Some(request) = self.write.request {
                delete = delete.request(request);
            }
            written::tell_either("deleted", delete.await, self.write.json)
        })
    }
}
