//! `kinfold explain`: how the value of a key came about.

mod human;
mod json;
mod names;
mod origin;

use std::ffi::OsString;

use clap::Args;

use crate::bytes_text;
use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;
use names::Names;

/// Explain how the value of a key came about
///
/// Asks every member what it holds of the key: its versions, who wrote them when and through which node, what each replica
/// has seen, and for whom fallbacks keep them. Says which versions stand when all replicas are joined and who let go of
/// the others, what the bucket's plugin makes of those that stand and from which of them each line came, and what was
/// discarded lately, where nodes remember it (`limits.discarded` in their configuration). Changes and repairs nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold explain carts alice
  kinfold explain --json carts alice

Exit code 1: an owner did not answer; what the others told was printed. Exit code 3: no replica holds anything.")]
pub(crate) struct Explain {
    /// The bucket
    bucket: String,
    /// The key
    key: OsString,
    /// Print JSON: values in base64, and as text where they are UTF-8
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Explain {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let key = bytes_text::argument(self.key);
        self.cluster.with_client(async |client| {
            let (told, values) = client.bucket(&self.bucket)?.explain(&key).await?;
            let names = Names::new(&client.layout(), &told);
            if self.json {
                output::print_json(&json::Json::new(&told, &values, &names))?;
            } else {
                let title = format!("{}/{}", self.bucket, key.escape_ascii());
                output::print(|out| human::write(out, &title, &told, &values, &names))?;
            }
            let silent = told.owners.iter().any(|owner| told.silent.contains_key(owner));
            Ok(match (silent, told.versions.is_empty()) {
                (true, _) => End::NotWell,
                (false, true) => End::NotFound,
                (false, false) => End::Done,
            })
        })
    }
}
