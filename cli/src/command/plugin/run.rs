//! `kinfold plugin run`: one merge of values that someone chose.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use kinfold_sandbox::{Engine, Limits, Plugin};
use kinfold_sandbox::{MergeInput, MergeRequest, Timestamp, canonical};

use crate::bytes_text;
use crate::command::plugin::subject::Subject;
use crate::exit::{End, Failure};
use crate::output;

/// Merge some values
///
/// Merges as a node does: in a fresh instance, within its limits, siblings sorted and without copies. The merged value goes to standard
/// output, and what the plugin logged and used to standard error.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin run cart.wasm one.txt other.txt
  kinfold plugin run last-write-wins --text old new
  kinfold plugin run last-write-wins --text old new --time 2 --time 1
  kinfold plugin run last-write-wins --text old --delete 9

Exit code 1: the plugin gave no value; the message says why. 3: the siblings merged to a delete.")]
pub(crate) struct Run {
    /// A component, a folder in which one was built, or the name of a built-in plugin
    plugin: PathBuf,
    /// The plugin config of the bucket
    #[arg(long, value_name = "TEXT", default_value = "")]
    config: String,
    /// The siblings, one a file
    #[arg(value_name = "SIBLING", required = true)]
    siblings: Vec<OsString>,
    /// The siblings are given as they are, not as files
    #[arg(long)]
    text: bool,
    /// A sibling's time, in the order of the siblings. Default: 1, 2, 3 and so on
    #[arg(long = "time", value_name = "N", value_parser = clap::value_parser!(u64).range(0..=Timestamp::MAX.0))]
    times: Vec<u64>,
    /// One more sibling: a delete of this time
    #[arg(long, value_name = "TIME", value_parser = clap::value_parser!(u64).range(0..=Timestamp::MAX.0))]
    delete: Option<u64>,
    /// The name of the bucket
    #[arg(long, value_name = "NAME", default_value = "bucket")]
    bucket: String,
    /// The key
    #[arg(long, value_name = "KEY", default_value = "key")]
    key: OsString,
}

impl Run {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let subject = Subject { plugin: self.plugin, config: self.config };
        let component = subject.component()?;
        let engine = Engine::new(Limits::default(), 1)?;
        let plugin = Plugin::load(&engine, &component)?;
        let times = self.times.iter().copied().chain(self.times.len() as u64 + 1..);
        let mut inputs = Vec::with_capacity(self.siblings.len() + 1);
        for (sibling, time) in self.siblings.into_iter().zip(times) {
            let value = if self.text {
                bytes_text::argument(sibling)
            } else {
                fs::read(&sibling).map(Bytes::from).map_err(Failure::file(sibling))?
            };
            inputs.push(MergeInput { value: Some(value), time: Timestamp(time) });
        }
        let delete = self.delete.map(|time| MergeInput { value: None, time: Timestamp(time) });
        inputs.extend(delete);
        let outcome = plugin.merge(&MergeRequest {
            plugin: plugin.manifest().name.clone(),
            bucket: self.bucket,
            key: bytes_text::argument(self.key),
            config: subject.config(),
            inputs: canonical(inputs),
        });
        for line in &outcome.log {
            output::note(&format!("{:?}: {}", line.level, line.message));
        }
        output::note(&format!("{} fuel, {} KiB of memory", outcome.fuel, outcome.memory / 1024));
        match outcome.result? {
            Some(value) => {
                output::print(|out: &mut dyn Write| out.write_all(&value))?;
                Ok(End::Done)
            }
            None => Ok(End::NotFound),
        }
    }
}
