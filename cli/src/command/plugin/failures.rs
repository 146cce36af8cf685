//! `kinfold plugin failures`: merges that a plugin failed on, to be looked at and kept.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use clap::Args;
use kinfold_client::FailedInput;
use serde_json::{Value, json};

use crate::bytes_text::JsonBytes;
use crate::cluster_args::ClusterArgs;
use crate::command::plugin::saved::{self, Saved};
use crate::exit::{End, Failure};
use crate::moment;
use crate::output;
use crate::table::Table;

/// Show merges that a plugin failed on, and keep them as files
///
/// Every node keeps the last eight merges of each plugin that ended in a trap, at a limit, in a bad result or in `internal`, since its start,
/// if they have at most 1 MiB; one that fails again is counted. `--save` writes them into a folder, from which `plugin replay`
/// runs them again; their siblings are in the folder `siblings` there, for `plugin check --corpus`. They are what clients
/// wrote, so this needs a certificate of the admin role.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin failures cart@0.1.0
  kinfold plugin failures cart@0.1.0 --save failed
  kinfold plugin replay cart failed

Exit code 1: a node can't be reached.")]
pub(crate) struct Failures {
    /// The plugin, as buckets name it
    plugin: String,
    /// Write them into this folder, which is made if it is not there
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Failures {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let cluster = self.cluster.clone();
        cluster.with_client(async |client| {
            let mut well = true;
            let mut failed = Vec::new();
            for (member, told) in client.plugin_failures(&self.plugin).await {
                match told {
                    Ok(told) => {
                        let named = (1..).zip(told);
                        failed.extend(named.map(|(n, it)| (format!("{}-{n}", member.name), it)));
                    }
                    Err(error) => {
                        well = false;
                        output::note(&format!("{}: {error}", member.name));
                    }
                }
            }
            if let Some(folder) = &self.save {
                save(folder, &self.plugin, &failed)?;
                output::note(&format!("{} merges are in {}", failed.len(), folder.display()));
            }
            if self.json {
                output::print_json(&failed.iter().map(json).collect::<Vec<_>>())?;
            } else {
                output::print(|out| table(&failed).write(out))?;
            }
            Ok(if well { End::Done } else { End::NotWell })
        })
    }
}

fn json((name, input): &(String, FailedInput)) -> Value {
    let sibling = |(time, value): &(u64, Option<Bytes>)| json!({ "time": time, "value": value.as_deref().map(JsonBytes::new) });
    json!({
        "name": name, "at": at(input), "times": input.times, "component": input.component.to_string(),
        "bucket": input.bucket, "key": JsonBytes::new(&input.key), "config": JsonBytes::new(&input.config),
        "failure": input.failure,
        "siblings": input.siblings.iter().map(sibling).collect::<Vec<_>>(),
    })
}

fn at(input: &FailedInput) -> String {
    moment::of(UNIX_EPOCH + Duration::from_millis(input.at_ms))
}

fn table(failed: &[(String, FailedInput)]) -> Table {
    let mut table =
        Table::new(["MERGE", "LAST", "TIMES", "BUCKET", "KEY", "SIBLINGS", "BYTES", "FAILURE"]);
    for (name, input) in failed {
        let values = input.siblings.iter().filter_map(|(_, value)| value.as_ref());
        table.row([
            name.clone(),
            at(input),
            input.times.to_string(),
            input.bucket.clone(),
            input.key.escape_ascii().to_string(),
            input.siblings.len().to_string(),
            values.map(Bytes::len).sum::<usize>().to_string(),
            // Control characters of a plugin are not for the terminal.
            input.failure.escape_debug().to_string(),
        ]);
    }
    table
}

/// Writes each merge as a file that `plugin replay` reads, and the values of its siblings as files of their own.
fn save(folder: &Path, plugin: &str, failed: &[(String, FailedInput)]) -> Result<(), Failure> {
    let siblings = folder.join(saved::SIBLINGS);
    fs::create_dir_all(&siblings).map_err(Failure::file(&siblings))?;
    for (name, input) in failed {
        let mut times = Vec::new();
        for (n, (time, value)) in (1..).zip(&input.siblings) {
            let file = value.as_ref().map(|value| {
                let file = format!("{name}-{n}");
                let path = siblings.join(&file);
                fs::write(&path, value).map_err(Failure::file(path)).map(|()| file)
            });
            times.push(saved::Sibling { time: *time, file: file.transpose()? });
        }
        let saved = Saved {
            plugin: plugin.to_owned(),
            component: input.component.to_string(),
            bucket: input.bucket.clone(),
            key: saved::text(&input.key),
            config: saved::text(&input.config),
            failure: input.failure.clone(),
            siblings: times,
        };
        let path = folder.join(format!("{name}.json"));
        let written = fs::File::create(&path).and_then(|mut file| {
            serde_json::to_writer_pretty(&mut file, &saved)?;
            writeln!(file)
        });
        written.map_err(Failure::file(path))?;
    }
    Ok(())
}
