//! `kinfold plugin replay`: merges that failed once, run again.

use std::path::PathBuf;

use clap::Args;
use kinfold_sandbox::{Engine, Limits, Plugin};

use crate::command::plugin::saved;
use crate::command::plugin::subject::Subject;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

/// Run merges again that failed in a cluster
///
/// Takes what `plugin failures --save` wrote, and merges as a node does: in a fresh instance and within its limits, with the bucket, key
/// and config of then. So it shows whether a change of the plugin mended what it failed on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin failures cart@0.1.0 --save failed
  kinfold plugin replay cart failed

Exit code 1: a merge still fails.")]
pub(crate) struct Replay {
    /// A component, a folder in which one was built, or the name of a built-in plugin
    plugin: PathBuf,
    /// The folder of merges
    folder: PathBuf,
}

impl Replay {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let component = Subject { plugin: self.plugin, config: String::new() }.component()?;
        let plugin = Plugin::load(&Engine::new(Limits::default(), 1)?, &component)?;
        let mut table = Table::new(["MERGE", "THEN", "NOW"]);
        let mut well = true;
        for (name, saved) in saved::all(&self.folder)? {
            let outcome = plugin.merge(&saved.request(&self.folder)?);
            well &= outcome.result.is_ok();
            let now = match outcome.result {
                Ok(Some(value)) => format!("{} bytes", value.len()),
                Ok(None) => "a delete".to_owned(),
                Err(failure) => failure.to_string(),
            };
            table.row([
                name,
                saved.failure.escape_debug().to_string(),
                now.escape_debug().to_string(),
            ]);
        }
        output::print(|out| table.write(out))?;
        Ok(if well { End::Done } else { End::NotWell })
    }
}
