//! `kinfold plugin check`: the laws of merging, tried on a component.

mod report;

use std::path::PathBuf;

use clap::Args;
use kinfold_sandbox::Limits;
use kinfold_sandbox::laws::{Plan, check};

use crate::command::plugin::subject::{Subject, files};
use crate::exit::{End, Failure};
use crate::output;

/// Try the laws of merging on a plugin
///
/// Merges many siblings as nodes do, in fresh instances and within their limits: values that the plugin makes as samples, those of
/// the corpus, both with small changes, and bytes without a meaning. What breaks a law is made as small as it gets and shown. This is a
/// test and no proof: a plugin that passes broke no law on the siblings that were tried.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin check
  kinfold plugin check cart.wasm --corpus carts
  kinfold plugin check last-write-wins --seed 7 --cases 10000
  kinfold plugin check --json

Exit code 1: a law that the plugin's contract binds it to does not hold, or there was nothing to try it on.
Warnings don't count.")]
pub(crate) struct Check {
    #[command(flatten)]
    subject: Subject,
    /// A folder of values that the plugin should merge, one a file. Default: `corpus` in the plugin's folder, if it is there
    #[arg(long, value_name = "FOLDER")]
    corpus: Option<PathBuf>,
    /// Where chance comes from: the same seed tries the same siblings
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many random cases to try
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    cases: u32,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let component = self.subject.component()?;
        let corpus = self.corpus.or_else(|| self.subject.corpus());
        let plan = Plan {
            seed: self.seed,
            cases: self.cases,
            config: self.subject.config(),
            corpus: corpus.as_deref().map(files).transpose()?.unwrap_or_default(),
            until: None,
        };
        let report = check(&component, Limits::default(), &plan)?;
        if self.json {
            output::print_json(&report::json(&report))?;
        } else {
            output::print(|out| report::write(&report, out))?;
        }
        Ok(if report.refused() { End::NotWell } else { End::Done })
    }
}
