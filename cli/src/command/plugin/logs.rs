//! `kinfold plugin logs`: what plugins said, and why their merges failed.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use kinfold_client::{LogLine, Member};
use serde_json::json;

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;

/// How often nodes are asked for more lines.
const AGAIN: Duration = Duration::from_millis(500);

/// Show what plugins wrote to their log, and why their merges failed
///
/// Every node keeps the last 2048 lines since its start.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin logs
  kinfold plugin logs -f --plugin cart@0.1.0
  kinfold plugin logs --bucket carts --json")]
pub(crate) struct Logs {
    /// Go on with what comes, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only of this plugin
    #[arg(long, value_name = "PLUGIN")]
    plugin: Option<String>,
    /// Only of this bucket
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Print a line of JSON each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Logs {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let cluster = self.cluster.clone();
        cluster.with_client(async |client| {
            let mut after = BTreeMap::new();
            let mut well = true;
            loop {
                let mut lines = Vec::new();
                let mut more = false;
                for (member, told) in client.plugin_logs(&after).await {
                    match told {
                        Ok(logs) => {
                            let last = logs.lines.last().map_or(logs.last, |line| line.number);
                            // A node that was started anew begins to count anew.
                            more |= last < logs.last;
                            after.insert(member.id, last);
                            lines.extend(logs.lines.into_iter().map(|line| (member.clone(), line)));
                        }
                        Err(error) if !self.follow => {
                            well = false;
                            output::note(&format!("{}: {error}", member.name));
                        }
                        Err(_away_for_now) => {}
                    }
                }
                lines.sort_by_key(|(_, line)| line.at_ms);
                lines.retain(|(_, line)| self.wants(line));
                output::print(|out| lines.iter().try_for_each(|line| self.write(out, line)))?;
                match (self.follow, more) {
                    (_, true) => {}
                    (true, false) => tokio::time::sleep(AGAIN).await,
                    (false, false) => break,
                }
            }
            Ok(if well { End::Done } else { End::NotWell })
        })
    }

    fn wants(&self, line: &LogLine) -> bool {
        self.plugin.as_ref().is_none_or(|plugin| *plugin == line.plugin)
            && self.bucket.as_ref().is_none_or(|bucket| *bucket == line.bucket)
    }

    fn write(
        &self,
        out: &mut dyn Write,
        (member, line): &(Member, LogLine),
    ) -> std::io::Result<()> {
        if self.json {
            let line = json!({
                "node": member.name, "at_ms": line.at_ms, "plugin": line.plugin,
                "bucket": line.bucket, "level": line.level, "message": line.message,
            });
            return writeln!(out, "{line}");
        }
        let LogLine { at_ms, plugin, bucket, level, message, .. } = line;
        let (seconds, ms) = (at_ms / 1_000, at_ms % 1_000);
        // Control characters of a plugin are not for the terminal.
        let message = message.escape_debug();
        writeln!(out, "{seconds}.{ms:03}  {}  {plugin}  {bucket}  {level}: {message}", member.name)
    }
}
