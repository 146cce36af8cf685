//! `kinfold delete`: deletes a key.

use std::ffi::OsString;

use clap::Args;

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

Exit code 4: the delete may or may not have happened; the message has the id to repeat it with --request.")]
pub(crate) struct Delete {
    /// The bucket
    bucket: String,
    /// The key
    key: OsString,
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
            if let Some(w) = self.write.w {
                delete = delete.w(w);
            }
            if let Some(request) = self.write.request {
                delete = delete.request(request);
            }
            written::tell("deleted", &delete.await?, self.write.json)
        })
    }
}
